"""`pushcli job`: start, watch, abort and read jobs; a module for each command."""
