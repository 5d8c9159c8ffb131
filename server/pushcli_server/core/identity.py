"""How nodes and jobs are named: always with their organization, never by a bare name or id.

The type makes a forgotten check impossible: whoever looks up another organization's job under
his own finds nothing.
"""

from typing import NamedTuple


class NodeKey(NamedTuple):
    """A node; names are unique within an organization only."""

    org: str
    name: str


class Requestor(NamedTuple):
    """Who asks: a `user` (of the whole server, `org` empty) or a `client` of an organization.

    A name alone says nothing: a user and a client may share it.
    """

    kind: str
    org: str
    name: str


class JobKey(NamedTuple):
    """A job; `id` is 32 lower-case hex digits."""

    org: str
    id: str
