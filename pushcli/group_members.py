"""The members of groups: on our server one by one, on others by replacing the whole group."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from pushcli.context import App
from pushcli.errors import NotFound
from pushcli.identities import quoted
from pushcli.jobs import checked
from pushcli.render.fields import write_fields

if TYPE_CHECKING:
    from pushcli.client import ApiClient

EXTENSION = "groups"
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

    def at_once(client: "ApiClient") -> None:
        client.post(f"groups/{quoted(name)}/members", members)

    _change(app, name, at_once, lambda kind, now: sorted({*now, *members.get(kind, ())}))


def remove(app: App, name: str, members: Members) -> None:
    """Take members out.

    Raises:
        NotFound: somebody is no member; nobody was taken out.
    """
    content = checked(_get(app.client, name), Group)
    strangers = [
        who for kind, names in members.items() for who in names if who not in getattr(content, kind)
    ]
    if strangers:
        raise NotFound(f"not in the group {name}: {', '.join(strangers)}", "see `group show`")

    def at_once(client: "ApiClient") -> None:
        for kind, names in members.items():
            for who in dict.fromkeys(names):
                client.delete(f"groups/{quoted(name)}/members/{kind}/{quoted(who)}")

    _change(
        app, name, at_once, lambda kind, now: [n for n in now if n not in members.get(kind, ())]
    )


def _change(
    app: App,
    name: str,
    at_once: Callable[["ApiClient"], None],
    new: Callable[[str, list[str]], list[str]],
) -> None:
    before = _get(app.client, name)
    if EXTENSION in app.client.extensions:
        at_once(app.client)
    else:
        # Who else changes the group at this moment is overwritten: Chef's API has no other way.
        content = checked(before, Group)
        actors = {kind: new(kind, list(getattr(content, kind))) for kind in KINDS}
        app.client.put(f"groups/{quoted(name)}", {"groupname": name, "actors": actors})
    _show(app, name, _get(app.client, name))


KINDS = ("users", "clients", "groups")


def _get(client: "ApiClient", name: str) -> dict[str, Any]:
    return checked(client.get(f"groups/{quoted(name)}"), dict[str, Any])


def _show(app: App, name: str, raw: dict[str, Any]) -> None:
    content = checked(raw, Group)
    if app.is_text:
        write_fields(app, {"name": name, **msgspec.to_builtins(content)})
    else:
        app.emit(raw)
