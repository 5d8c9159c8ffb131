"""Identities that live on a Chef Infra Server: what is asked of it, and how long it counts."""
