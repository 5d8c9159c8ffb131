"""Editors that a node takes from a Chef Infra Server, once."""
