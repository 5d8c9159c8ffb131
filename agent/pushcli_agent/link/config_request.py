"""What the agent and its short-lived child that fetches the configuration exchange."""

from typing import Any

import msgspec

from pushcli_agent.core.configuration import ServerConfig


class ConfigRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, and how: JSON on the child's standard input.

    Args:
        server_urls: asked in turn.
    """

    server_urls: tuple[str, ...]
    node_name: str
    client_key: str
    ca_file: str | None
    fingerprint: str | None
    signing_version: str
    curve_public_key: str
    adopts: tuple[str, ...]
    roles: list[str] = []
    tags: list[str] = []
    attributes: dict[str, Any] = {}
    open: tuple[str, ...] = ()


class ConfigReply(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration, or why there is none: one line of JSON on its standard output."""

    config: ServerConfig | None = None
    facts: dict[str, Any] | None = None
    """The node's automatic attributes, as of now."""
    error: str | None = None
    retry_after: float = 0.0
    """Seconds until the server wants to be asked again."""
