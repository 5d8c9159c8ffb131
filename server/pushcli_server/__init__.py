"""The pushcli server: signed REST, the command channel, the vote and the store."""
