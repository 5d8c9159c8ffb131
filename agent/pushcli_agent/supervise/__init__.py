"""The parts of a job's supervisor (see `supervisor`), each cheap to import.

Fifty supervisors may start at once on one machine, so only modules that are built in or
cost next to nothing are imported: hence `_signal` (`signal` makes enums: 8 ms) and
`_ctypes` (`ctypes` defines dozens of types: 4 ms), no `json` and no `typing`.
"""
