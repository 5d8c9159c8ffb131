"""What both ends of a wire agree on, without I/O; the CLI, the server and the agent share it."""
