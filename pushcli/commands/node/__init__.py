"""`pushcli node`: which nodes there are, and which may be; a module for each command."""
