"""What both ends of a wire must agree on; no I/O."""
