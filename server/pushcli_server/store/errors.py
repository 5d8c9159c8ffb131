"""What the store refuses, or cannot do now."""


class Conflict(Exception):
    """What is to be made is there already, or what it needs is not."""


class StoreUnavailable(Exception):
    """The database is away; it is being tried again."""
