"""The agent's decisions, without I/O: events in, effects out.

`handle(agent, event, now)` changes the state and returns what is to be done, in order;
`agent.deadline()` says when `TimePassed` is due. Duplicate, late and unknown messages of
the server are ordinary events; an impossible call of our own raises.
"""

from pushcli_agent.core.machine import handle
from pushcli_agent.core.state import Agent

__all__ = ["Agent", "handle"]
