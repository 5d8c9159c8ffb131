"""Running a job on this node: whether, as whom, and what is left of it."""
