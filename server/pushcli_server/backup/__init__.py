"""A server's directory and database as one file, and back."""
