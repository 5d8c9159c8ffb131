"""Everything dies at random instants, and nothing may be lost: `make chaos`."""
