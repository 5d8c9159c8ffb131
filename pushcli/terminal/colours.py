"""The colour of each state, in tables too; the same names serve click and Rich."""

_COLOURS = {
    "succeeded": "green",
    "complete": "green",
    "available": "green",
    "online": "green",
    "running": "cyan",
    "ready": "cyan",
    "voting": "cyan",
    "failed": "red",
    "crashed": "red",
    "timed_out": "red",
    "aborted": "red",
    "quorum_failed": "red",
    "nacked": "yellow",
    "unavailable": "yellow",
    "offline": "yellow",
    "was_ready": "yellow",
}


def colour(state: str) -> str:
    """The colour of a job's or a node's state; none ("") for one that we do not know."""
    return _COLOURS.get(state, "")
