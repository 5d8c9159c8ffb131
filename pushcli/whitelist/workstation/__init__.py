"""Whitelists from the operator's side: shown, edited, signed and sent, here or in files."""
