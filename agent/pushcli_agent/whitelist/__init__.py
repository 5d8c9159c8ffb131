"""The commands that this node is willing to run: its own files, and what editors signed."""
