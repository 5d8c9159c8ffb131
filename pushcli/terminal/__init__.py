"""Talking with a person: options, prompts, tables, colours."""
