"""Whitelists on a server: ours, or a Chef Infra Server, which has a slower way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pushcli.client import editors
from pushcli.client.answers import checked
from pushcli.errors import NotFound, RequestRefused, ServerError
from pushcli.protocol.names import by_number
from pushcli.terminal.context import App, is_terminal
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation import chef_server, our_server
from pushcli.whitelist.workstation.views import EditOutcome, NodeWhitelist, SignedEntry, Verdict

EXTENSION = "whitelist"

T = TypeVar("T")


def all_names(app: App) -> list[str]:
    """Every node of the organization."""
    return sorted(checked(app.client.get("nodes"), dict[str, Any]), key=by_number)


def read(app: App, nodes: Sequence[str]) -> list[NodeWhitelist]:
    """The whitelists of these nodes, in their order.

    Raises:
        NotFound: a node does not exist.
    """

    def on_chef_server() -> list[NodeWhitelist]:
        with _bar(app, len(nodes)) as step:
            return chef_server.read(app.client, nodes, step)

    return _either(app, lambda: our_server.read(app.client, nodes), on_chef_server)


def change(app: App, nodes: Sequence[str], changes: Sequence[Change]) -> EditOutcome | None:
    """Sign the changes and make them; None: on a server that cannot tell what is in force.

    Raises:
        NotFound: a node does not exist.
        PushcliError: what is done already stands in the message.
    """

    def on_chef_server() -> None:
        with _bar(app, len(nodes)) as step:
            chef_server.change(app.client, nodes, changes, step)

    return _either(app, lambda: our_server.change(app.client, nodes, changes), on_chef_server)


def check(app: App, nodes: Sequence[str], request: str) -> dict[str, Verdict]:
    """Ask the nodes' agents what they would do, without doing it.

    Raises:
        NotOffered: the server cannot ask.
    """
    answer = app.client.post("pushy/checks", {"command": request, "nodes": list(nodes)})
    verdicts = checked(answer, dict[str, dict[str, Verdict]]).get("nodes", {})
    for node in nodes:
        if node not in verdicts:
            raise ServerError(f"the server did not answer for {node}")
    return verdicts


def known_editors(app: App) -> editors.Known:
    """What operators said about editors."""
    return editors.read(app.client)


def signed_with(app: App, key: str) -> list[SignedEntry]:
    """The entries of all nodes that were signed with a key (fingerprint)."""
    answer = app.client.get(f"{editors.PATH}/entries", {"key": key})
    return checked(answer, dict[str, list[SignedEntry]]).get("entries", [])


def _either(app: App, ours: Callable[[], T], chefs: Callable[[], T]) -> T:
    """Our server's way; if the server does not know it, the other."""
    try:
        return ours()
    except (NotFound, RequestRefused, ServerError):
        if EXTENSION in app.client.extensions:
            raise
    return chefs()


@contextmanager
def _bar(app: App, length: int) -> Iterator[chef_server.Step]:
    """A bar on a terminal that waits for many nodes; nothing elsewhere."""
    if length < 2 or not is_terminal(app.stderr):
        yield lambda node: None
        return
    import click  # noqa: PLC0415

    with click.progressbar(
        length=length, label="nodes", show_pos=True, file=app.stderr, item_show_func=str
    ) as bar:
        yield lambda node: bar.update(1, node)
