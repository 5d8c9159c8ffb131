"""The levels of a node's attributes, as Chef has them."""

NORMAL = "normal"
"""The level that operators edit."""
LEVELS = ("default", NORMAL, "override", "automatic")
"""A later one wins."""
