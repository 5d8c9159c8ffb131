"""The agent's decisions, without I/O: events in, effects out (see `machine`)."""
