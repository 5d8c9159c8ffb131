"""A throw-away server with agents on this machine."""
