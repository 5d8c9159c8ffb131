"""The whole of `pushcli whitelist`: the group with all its commands."""

# The order of their commands in the group's help.
from pushcli.commands.whitelist import reading, writing, editors  # isort: skip
from pushcli.commands.whitelist.group import whitelist

__all__ = ["editors", "reading", "whitelist", "writing"]
