"""What the store refuses, or cannot do now."""


class Conflict(Exception):
    """What is to be made is there already, or what it needs is not."""


class StoreUnavailable(Exception):
    """The database is away; it is being tried again."""


class WhitelistConflict(Conflict):
    """An edit of whitelists that cannot be made; the text says why, for the operator."""


class UnknownNodes(WhitelistConflict):
    """There are no such nodes."""


class Outdated(WhitelistConflict):
    """Somebody edited an entry meanwhile; `version` is the highest that is there."""

    def __init__(self, text: str, version: int) -> None:
        super().__init__(text)
        self.version = version
