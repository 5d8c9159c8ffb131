"""What the store refuses, or cannot do now."""


class CannotApply(Exception):
    """What is to be made is there already, or what it needs is not."""


class Missing(CannotApply):
    """What is to be changed is not there; the text names it."""


class UnknownMembers(CannotApply):
    """Somebody who is to become a member is not in the organization; the text names them."""


class ReservedName(CannotApply):
    """A node may not be called so; the text says why."""


class LastAdministrator(CannotApply):
    """Nobody would be left who may administrate; the text says where."""


class LastKey(CannotApply):
    """No valid key would be left."""


class TooManyKeys(CannotApply):
    """There are as many keys as one may have."""


class TokenRefused(CannotApply):
    """The token does not count any more, or never did for this node."""


class Unreadable(Exception):
    """What is stored makes no sense; the text says what and where, in one line."""


class CannotStore(Exception):
    """The database can never hold this; the text says why, in one line."""


class StoreUnavailable(Exception):
    """The database is away; it is being tried again. The text says why, for whoever asks.

    What was to be written is not, and will not be.
    """


class Superseded(Exception):
    """Another server has taken this one's place: it changes nothing any more. The text says who."""


class OutcomeUnknown(StoreUnavailable):
    """The connection broke while the change was being made: it, or a part of it, may have been."""


class Delayed(StoreUnavailable):
    """The change is taken in, and will be made as soon as the database is back."""


class ResultUnknown(StoreUnavailable):
    """The change was made; what it led to cannot be read now."""


class DamagedContent(StoreUnavailable):
    """What was stored in a file is not all there any more; the text says what is missing."""


class TookTooLong(StoreUnavailable):
    """A question that the database gave up: `seconds` were not enough."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds


class WhitelistConflict(CannotApply):
    """An edit of whitelists that cannot be made; the text says why, for the operator."""


class InvalidStatement(CannotApply):
    """A statement about editors that is none, or does not fit what it names; the text says why."""


class UnknownNodes(WhitelistConflict):
    """There are no such nodes."""


class Outdated(WhitelistConflict):
    """Somebody edited an entry meanwhile; `version` is the highest that is there."""

    def __init__(self, text: str, version: int) -> None:
        super().__init__(text)
        self.version = version


class Exists(CannotApply):
    """What is to be made is there already."""


class Changed(CannotApply):
    """It is not what it was any more; `revision` is the present one."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"revision {revision}")
        self.revision = revision
