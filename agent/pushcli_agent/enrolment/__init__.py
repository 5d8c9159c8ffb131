"""Enrolling a node: its key, its registration, whose edits it trusts."""
