"""What the node reports of itself: its whitelist and its facts (docs/extensions.md).

All of it is sent anew on each connection: the server knows what it has seen already.
"""

from typing import Any

from pushcli.protocol import extensions, messages
from pushcli_agent.core.effects import (
    AnswerCheck,
    ApplyWhitelist,
    Effect,
    SendFacts,
    SendWhitelistReport,
)
from pushcli_agent.core.state import Agent


def connected(agent: Agent) -> list[Effect]:
    """A new connection."""
    return [*_facts(agent), *_report(agent)]


def configured(agent: Agent, facts: dict[str, Any] | None) -> list[Effect]:
    """The facts were collected again; a connection that stays hears of new ones."""
    if facts is None or facts == agent.facts:
        return []
    agent.facts = facts
    return _facts(agent)


def whitelist_changed(agent: Agent, digest: str | None) -> list[Effect]:
    """Another whitelist is in force, or refused."""
    agent.whitelist = digest
    return _report(agent)


def whitelist(agent: Agent, message: messages.Whitelist) -> list[Effect]:
    """The server has another whitelist for this node."""
    return [ApplyWhitelist(message)] if _offered(agent, extensions.WHITELIST) else []


def check(agent: Agent, message: messages.Check) -> list[Effect]:
    """The server asks whether something would be run."""
    return [AnswerCheck(message)] if _offered(agent, extensions.CHECKS) else []


def digest(agent: Agent) -> str | None:
    """The digest of the whitelist that heartbeats carry."""
    return agent.whitelist if _offered(agent, extensions.WHITELIST) else None


def _facts(agent: Agent) -> list[Effect]:
    if agent.facts is None or not agent.link.connected or not _offered(agent, extensions.FACTS):
        return []
    return [SendFacts(agent.facts)]


def _report(agent: Agent) -> list[Effect]:
    if not agent.link.connected or not _offered(agent, extensions.WHITELIST):
        return []
    return [
        SendWhitelistReport(
            policy=_offered(agent, extensions.POLICY), pins=_offered(agent, extensions.PINS)
        )
    ]


def _offered(agent: Agent, extension: str) -> bool:
    config = agent.link.config
    return config is not None and extension in config.extensions
