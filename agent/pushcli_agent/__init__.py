"""The pushcli agent: one per node; it votes, runs whitelisted commands and reports."""
