"""`pushcli whitelist`: what operators may start on the nodes."""
