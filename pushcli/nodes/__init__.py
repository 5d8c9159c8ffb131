"""Nodes as the operator sees them."""
