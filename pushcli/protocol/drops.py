"""Why a message is dropped: a fixed set, so that what a peer writes is never a key of ours."""

import enum


class DropReason(enum.StrEnum):
    """All there are, on either side."""

    UNKNOWN_KEY = "its CURVE key is not known"
    FRAMES = "wrong number of frames"
    HEADER = "its header is too long"
    BODY = "its body is too long"
    SIGNING_METHOD = "unknown version or signing method"
    BASE64 = "its signature is not base64"
    SIGNATURE = "wrong signature"
    JSON = "not JSON"
    NESTING = "nested too deep, or with too many values"
    FIELDS = "an unknown type, or a field that is missing or wrong"
    ANOTHER_NODE = "it speaks for another node"
    TIMESTAMP = "its timestamp is not an RFC 1123 date"
    SKEW = "its timestamp is too far off"
    REPLAY = "its sequence does not rise: a replay"
    SEND_QUEUE = "its send queue is full"
    TOO_LARGE = "it is larger than its agent takes"


class Dropped(ValueError):
    """A message is to be dropped.

    Args:
        detail: more for whoever reads it; it may hold text of the peer, escaped.
    """

    def __init__(self, reason: DropReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
