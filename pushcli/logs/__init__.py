"""Where a server's and an agent's log goes, and how it stays whole and short."""
