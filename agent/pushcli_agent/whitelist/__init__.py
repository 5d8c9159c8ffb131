"""The commands that this node is willing to run: the local files, and both sources as one."""

from pushcli_agent.whitelist.local import LocalWhitelist
from pushcli_agent.whitelist.merged import Source, Whitelist

__all__ = ["LocalWhitelist", "Source", "Whitelist"]
