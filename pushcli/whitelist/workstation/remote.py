"""Whitelists on a server: ours, or a Chef Infra Server, which has a slower way."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from pushcli.client import editors
from pushcli.client.answers import checked
from pushcli.errors import NotFound, PermissionDenied, PushcliError, RequestRefused, ServerError
from pushcli.protocol.names import by_number
from pushcli.terminal.context import App, is_terminal
from pushcli.terminal.folding import fold
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation import announcing, chef_server, our_server
from pushcli.whitelist.workstation.verifying import Signers
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


def look(app: App, nodes: Sequence[str], name: str | None = None) -> list[NodeWhitelist]:
    """The same to be shown: nodes whose attributes are in the way are noted and left out.

    Where no agent tells whether an entry holds, its signature is verified here; on our server,
    which takes a request a node, only that of one entry.

    Args:
        name: of the entry that is shown; None: of all.

    Raises:
        RequestRefused: none of the nodes can be read.
    """

    def on_our_server() -> list[NodeWhitelist]:
        signers = Signers(app.client)
        found = our_server.read(app.client, nodes)
        return found if name is None else [_verified(app, one, name, signers) for one in found]

    def on_chef_server() -> list[NodeWhitelist]:
        with _bar(app, len(nodes)) as step:
            found, faults = chef_server.look(app.client, nodes, step, name)
        alike: dict[str, list[str]] = {}
        for node, fault in faults.items():
            alike.setdefault(str(fault) if found else fault.message, []).append(node)
        if faults and not found:
            first = next(iter(faults.values()))
            first.message = "; ".join(f"{fold(names)}: {why}" for why, names in alike.items())
            raise first
        for why, names in alike.items():
            app.note(f"{fold(names)}: {why}")
        return found

    return _either(app, on_our_server, on_chef_server)


def _verified(app: App, one: NodeWhitelist, name: str, signers: Signers) -> NodeWhitelist:
    entry = one.entry(name)
    if one.in_force is not None or entry is None or entry.signer is None:
        return one
    try:
        return chef_server.verified(app.client, one, signers, name)
    except (NotFound, PermissionDenied):
        # Who may see whitelists need not be one who may see nodes.
        return one


def change(app: App, nodes: Sequence[str], changes: Sequence[Change]) -> EditOutcome | None:
    """Sign the changes and make them; None: where nobody can tell what is in force.

    Raises:
        NotFound: a node does not exist.
        PushcliError: what is done already stands in the message.
    """

    def on_chef_server() -> EditOutcome | None:
        done: list[str] = []
        with _bar(app, len(nodes)) as step:
            try:
                chef_server.change(app.client, nodes, changes, _noting(done, step))
            except PushcliError:
                announcing.announce(app.client, done, changes)
                raise
        return announcing.announce(app.client, done, changes)

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
        if EXTENSION in app.client.extensions and not is_beside_chef(app):
            raise
    return chefs()


def is_beside_chef(app: App) -> bool:
    """Whether the server said that it leaves nodes to a Chef Infra Server, and looks there."""
    return announcing.EXTENSION in app.client.extensions


def _noting(done: list[str], step: chef_server.Step) -> chef_server.Step:
    def noted(node: str) -> None:
        done.append(node)
        step(node)

    return noted


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
