"""The members of groups: on our server one by one, on others by replacing the whole group."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pushcli.client.answers import checked
from pushcli.client.paths import quoted
from pushcli.errors import NotFound, PushcliError
from pushcli.terminal.context import App
from pushcli.terminal.fields import write_fields

if TYPE_CHECKING:
    from pushcli.client.api import ApiClient

EXTENSION = "groups"
KINDS = ("users", "clients", "groups")
Members = Mapping[str, Sequence[str]]
"""Names by kind: `users`, `clients`, `groups`."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group as the server has it."""

    users: list[str] = []
    clients: list[str] = []
    groups: list[str] = []


def show(app: App, name: str) -> None:
    """One group."""
    _show(app, name, _get(app.client, name))


def add(app: App, name: str, members: Members) -> None:
    """Put members in; who is in already stays."""
    before = _get(app.client, name)
    if EXTENSION in app.client.last_extensions:
        app.client.post(f"groups/{quoted(name)}/members", members)
    else:
        now = checked(before, Group)
        _replace(app.client, name, {k: sorted({*_of(now, k), *members.get(k, ())}) for k in KINDS})
    show(app, name)


def remove(app: App, name: str, members: Members) -> None:
    """Take members out.

    Raises:
        NotFound: somebody is no member; nobody was taken out.
        PushcliError: somebody must stay; who is out already stands in the message.
    """
    before = checked(_get(app.client, name), Group)
    out = [(kind, who) for kind, names in members.items() for who in names]
    if strangers := [who for kind, who in out if who not in _of(before, kind)]:
        raise NotFound(f"not in the group {name}: {', '.join(strangers)}", "see `group show`")
    if EXTENSION in app.client.last_extensions:
        _remove_each(app.client, name, out)
    else:
        stay = {kind: [w for w in _of(before, kind) if (kind, w) not in out] for kind in KINDS}
        _replace(app.client, name, stay)
    show(app, name)


def _remove_each(client: "ApiClient", name: str, out: Sequence[tuple[str, str]]) -> None:
    for number, (kind, who) in enumerate(out):
        try:
            client.delete(f"groups/{quoted(name)}/members/{kind}/{quoted(who)}")
        except PushcliError as error:
            if done := [one for _, one in out[:number]]:
                error.message = f"{who}: {error.message}; out already: {', '.join(done)}"
            raise


def _replace(client: "ApiClient", name: str, members: Members) -> None:
    """Chef's API has no other way: a change by somebody else at this moment is lost."""
    client.put(f"groups/{quoted(name)}", {"groupname": name, "actors": members})


def _of(group: Group, kind: str) -> list[str]:
    names: list[str] = getattr(group, kind)
    return names


def _get(client: "ApiClient", name: str) -> dict[str, Any]:
    return checked(client.get(f"groups/{quoted(name)}"), dict[str, Any])


def _show(app: App, name: str, raw: dict[str, Any]) -> None:
    content = checked(raw, Group)
    if app.is_text:
        write_fields(app, {"name": name, **msgspec.to_builtins(content)})
    else:
        app.emit(raw)
