"""The server's pure state machines: events and the time go in, effects come out; no I/O."""
