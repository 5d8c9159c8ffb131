"""pushcli: the operator's command line, and what the CLI, the server and the agent share."""

__version__ = "0.2.0.dev0"
