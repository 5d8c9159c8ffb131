"""The commands that this node is willing to run."""

from collections.abc import Mapping


class Whitelist:
    """Requests by name, and for each the shell command that it stands for.

    Args:
        entries: the table `[whitelist]` of agent.toml.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        self._entries = dict(entries)

    def command_for(self, request: str) -> str | None:
        """The command to run for what a job asks for, or None: not on the whitelist.

        The request must be a name on the whitelist, to the letter.
        """
        return self._entries.get(request)
