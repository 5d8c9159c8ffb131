"""Talking with a server: signed requests, and what its answers mean."""
