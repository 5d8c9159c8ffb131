"""What a Chef Infra Server's answers say: principals, groups, clients. Pure.

Its API is described where Push Jobs' protocol names it: `principals` answers with one object in
version 0, and with a row for each valid key from version 1 on.
"""

from typing import Literal, TypeVar

import msgspec

T = TypeVar("T")
MAX_KEYS = 200
"""Of one name."""
MAX_KEY = 16_384
"""Characters of a key (PEM)."""
MAX_MEMBERS = 100_000
MAX_GROUPS = 1_000
"""That one group holds."""


class ChefAway(Exception):
    """It does not answer, or says that it cannot; the text says why."""


class ChefUnproven(ChefAway):
    """Who answers there does not prove to be it: nothing was asked, and it does not mend itself."""


class ChefRefuses(Exception):
    """It answers what we cannot use; the text says what, and what to look at."""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A user or a client, with its valid keys (PEM)."""

    kind: Literal["user", "client"]
    public_keys: tuple[str, ...]
    is_member: bool
    """Of the organization; clients always are."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in a group: names of users, of clients, and of groups whose members are in it too."""

    users: frozenset[str]
    clients: frozenset[str]
    groups: tuple[str, ...]


class _Row(msgspec.Struct):
    name: str
    type: str
    public_key: str | None = None
    org_member: bool = False


class _Principals(msgspec.Struct):
    """In version 0 it is itself the only row."""

    principals: list[_Row] | None = None
    name: str = ""
    type: str = ""
    public_key: str | None = None
    org_member: bool = False

    @property
    def rows(self) -> list[_Row]:
        if self.principals is not None:
            return self.principals
        return [_Row(self.name, self.type, self.public_key, self.org_member)]


class Missing(msgspec.Struct):
    """What a 404 says."""

    not_found: str = ""
    error: str | list[str] = ""


class _Group(msgspec.Struct):
    users: list[str] = []
    clients: list[str] = []
    groups: list[str] = []


def owners(status: int, content: bytes, name: str) -> list[Owner] | None:
    """Of `GET organizations/ORG/principals/NAME`: the user and the client of this name.

    Returns:
        None: there is no such organization.

    Raises:
        ChefAway, ChefRefuses: it is no answer to that.
    """
    what = f"principals/{name}"
    if status == 404:
        missing = decoded(content, Missing, what)
        if not missing.not_found and not missing.error:
            raise unexpected(what, "a 404 that does not say what is missing")
        return None if missing.not_found == "org" else []
    require_success(status, content, what)
    found = decoded(content, _Principals, what).rows
    if len(found) > MAX_KEYS:
        raise unexpected(what, f"more than {MAX_KEYS} keys")
    both = (_owner("user", name, found), _owner("client", name, found))
    return [owner for owner in both if owner is not None]


def _owner(kind: Literal["user", "client"], name: str, found: list[_Row]) -> Owner | None:
    rows = [row for row in found if (row.type, row.name) == (kind, name)]
    if not rows:
        return None
    keys = (row.public_key for row in rows if row.public_key is not None)
    return Owner(
        kind=kind,
        public_keys=tuple(key for key in keys if len(key) <= MAX_KEY),
        is_member=kind == "client" or any(row.org_member for row in rows),
    )


def group(status: int, content: bytes, name: str) -> Group | None:
    """Of `GET organizations/ORG/groups/NAME`; None: there is no such group.

    Raises:
        ChefAway, ChefRefuses: it is no answer to that.
    """
    what = f"groups/{name}"
    if status == 404:
        require_missing(content, what, "group")
        return None
    require_success(status, content, what)
    said = decoded(content, _Group, what)
    if max(len(said.users), len(said.clients)) > MAX_MEMBERS or len(said.groups) > MAX_GROUPS:
        raise unexpected(what, "too many members")
    return Group(
        users=frozenset(said.users), clients=frozenset(said.clients), groups=tuple(said.groups)
    )


def names(status: int, content: bytes, what: str) -> frozenset[str]:
    """Of a list such as `GET organizations/ORG/clients`: `{NAME: URL}`.

    Raises:
        ChefAway, ChefRefuses: it is no answer to that.
    """
    require_success(status, content, what)
    return frozenset(decoded(content, dict[str, str], what))


def within(group: str, org: str) -> str | None:
    """The name of a nested group in its organization; None: it is another one's.

    Chef writes groups of others as `ORG::NAME`, and the server's own as `::NAME`.
    """
    owner, separator, name = group.rpartition("::")
    return name if not separator or owner == org else None


def require_missing(content: bytes, what: str, kind: str) -> None:
    """A 404 says that there is no such thing; one of a proxy, or about the organization, does not.

    Raises:
        ChefRefuses: it says something else.
    """
    said = decoded(content, Missing, what).error
    if not said or isinstance(said, str):
        raise unexpected(what, f"a 404 that is not about a {kind}")


def require_success(status: int, content: bytes, what: str) -> None:
    """It is an answer.

    Raises:
        ChefAway, ChefRefuses: it is none.
    """
    if status == 200:
        return
    if status in (401, 403):
        raise ChefRefuses(
            f"it refuses our requests ({status} for {what}): check chef_user and chef_key"
        )
    if 300 <= status < 400:
        raise ChefRefuses(f"it redirects {what} ({status}): give its final URL as chef_server_url")
    if status >= 500:
        raise ChefAway(f"it failed ({status} for {what})")
    raise unexpected(what, f"status {status}")


def decoded(content: bytes, kind: type[T], what: str) -> T:
    """What it says.

    Raises:
        ChefRefuses: it says something else.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise unexpected(what, "something that is not an answer of Chef's API") from None


def unexpected(what: str, said: str) -> ChefRefuses:
    """The error for an answer that is none."""
    return ChefRefuses(f"it answers {what} with {said}: check chef_server_url")
