"""Whether editors are taken on first use, when it is tried, and which keys they are. Pure."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from pushcli.protocol import names
from pushcli.protocol.chef_answers import Group, Owner, within
from pushcli_agent.core.backoff import backoff

GROUP = "admins"
MAX_GROUPS = 50
"""That are looked into, `admins` included."""
MAX_USERS = 50
MAX_KEYS = 60
"""Of all of them together: so many a report of the agent names."""
_FIRST_DELAY = 5.0
_LONGEST_DELAY = 600.0
"""Seconds."""


class Unacceptable(Exception):
    """What the server says of its administrators is nothing to pin; the text says why."""


def is_wanted(*, asked_for: bool, has_pins: bool, is_done: bool) -> bool:
    """Whether editors are to be taken now.

    Args:
        asked_for: agent.toml says so.
        has_pins: whether there is an `editors.json`, whatever it holds: who made it decided.
        is_done: whether the first use is over. It is for good, also where the pins vanished:
            whoever can make them vanish must not choose the next ones.
    """
    return asked_for and not has_pins and not is_done


class Attempts:
    """When to try, until it worked.

    Args:
        random: gives a number from 0 to 1.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._failures = 0
        self.due_at = 0.0
        """Seconds of the clock that `failed` is given."""

    def failed(self, now: float) -> None:
        """It did not work: later, and later again."""
        self.due_at = now + backoff(self._random, _FIRST_DELAY, self._failures, _LONGEST_DELAY)
        self._failures += 1


class Members:
    """The users in `admins` and in the groups within it, as one answer comes after the other.

    Groups that hold each other are looked into once. Clients are no editors.
    """

    def __init__(self, org: str) -> None:
        self._org = org
        self._groups = [GROUP]
        self._looked_into = 0
        self._users: dict[str, None] = {}

    @property
    def next_group(self) -> str | None:
        """The one to ask for; None: there is no other."""
        if self._looked_into < len(self._groups):
            return self._groups[self._looked_into]
        return None

    def add(self, group: Group | None) -> None:
        """What `next_group` holds; None: there is no such group.

        Raises:
            Unacceptable: they are too many.
        """
        self._looked_into += 1
        if group is None:
            return
        for nested in sorted(group.groups):
            name = within(nested, self._org)
            if name is not None and names.is_node_name(name) and name not in self._groups:
                self._groups.append(name)
        if len(self._groups) > MAX_GROUPS:
            raise Unacceptable(f"more than {MAX_GROUPS} groups lie within {GROUP}")
        self.add_users(group.users)

    def add_users(self, users: Iterable[str]) -> None:
        """These are in it.

        Raises:
            Unacceptable: they are too many.
        """
        self._users |= dict.fromkeys(users)
        if len(self._users) > MAX_USERS:
            raise Unacceptable(f"more than {MAX_USERS} users are in {GROUP}")

    @property
    def users(self) -> list[str]:
        """All that were found, by name."""
        return sorted(name for name in self._users if names.is_node_name(name))


class Candidate(msgspec.Struct, frozen=True):
    """A key that may be pinned; `public_key` is PEM."""

    name: str
    public_key: str


def candidates(name: str, owners: Sequence[Owner] | None) -> list[Candidate]:
    """The keys of a user; those of a client of this name, or of a user elsewhere, are not his.

    So the superuser of the whole server, who is in every `admins`, is none: his key lies on it.
    """
    return [
        Candidate(name, pem)
        for owner in owners or ()
        if owner.kind == "user" and owner.is_member
        for pem in owner.public_keys
    ]


def chosen(found: Sequence[Candidate], fingerprint: Callable[[str], str | None]) -> list[Candidate]:
    """Those that are pinned: usable keys, each once.

    Args:
        fingerprint: of a key; None: it cannot be used.

    Raises:
        Unacceptable: there are none, or too many.
    """
    kept: dict[str, Candidate] = {}
    for one in found:
        if (known := fingerprint(one.public_key)) is not None:
            kept.setdefault(known, one)
    if len(kept) > MAX_KEYS:
        raise Unacceptable(f"the users in {GROUP} have more than {MAX_KEYS} keys")
    if not kept:
        raise Unacceptable(f"no user of the organization in {GROUP} has a usable key")
    return list(kept.values())
