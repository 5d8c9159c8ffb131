"""Searching nodes: attributes as flat fields, and queries as data. Pure."""
