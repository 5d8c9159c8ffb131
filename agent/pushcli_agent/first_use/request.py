"""What the agent and its short-lived child that takes the editors exchange."""

import msgspec


class TakeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, and how: JSON on the child's standard input.

    Args:
        directory: the agent's, absolute.
        server_urls: asked in turn.
    """

    directory: str
    server_urls: tuple[str, ...]
    node_name: str
    client_key: str
    ca_file: str | None
    fingerprint: str | None
    signing_version: str


class TakeReply(msgspec.Struct, frozen=True, kw_only=True):
    """What was pinned, or why nothing was: one line of JSON on its standard output."""

    pinned: list[tuple[str, str]] = []
    """Names and fingerprints."""
    error: str | None = None
