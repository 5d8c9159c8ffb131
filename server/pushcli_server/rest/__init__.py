"""The REST API (Push Jobs protocol, sections 2 to 4), with the checks in their order."""
