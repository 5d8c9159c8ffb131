"""Asks the server for what the Tab key offers: a process of its own, which nobody waits for.

`python -m pushcli.completion.refresh OPTIONS [WHOSE]`, with the options of the connection as JSON;
with `user NAME` or `client NAME` only for the names of that one's keys. It has no terminal, asks
nobody, says nothing, and ends soon whatever happens.
"""

import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from pushcli.client.answers import checked
from pushcli.client.api import ApiClient
from pushcli.client.limits import Limits
from pushcli.completion import known
from pushcli.completion.known import Known, KnownJob, KnownToken, Whitelisted
from pushcli.completion.refreshing import read_options
from pushcli.errors import NotFound, PermissionDenied, PushcliError, ServerUnreachable
from pushcli.identities import identities, identity_keys
from pushcli.identities.enrolment_tokens import Token
from pushcli.nodes.node_status import NodeAvailability
from pushcli.protocol.names import by_number, is_job_id, is_node_name
from pushcli.protocol.timestamps import parse_rfc1123
from pushcli.terminal.context import App, profile_of
from pushcli.terminal.folding import folded_groups
from pushcli.whitelist.pattern import is_pattern
from pushcli.whitelist.workstation import our_server
from pushcli.whitelist.workstation.views import NodeWhitelist

MOST_SECONDS = 30
"""Until it ends itself."""
_LONGEST_TURN = 0.5
"""Seconds for which somebody's keys wait for the refresh of all the rest."""
LIMITS = Limits(connect=3.0, silence=5.0, total=10.0, size=8_000_000)
MAX_NODES = 20_000
MAX_WHITELISTS = 2_000
"""Nodes whose whitelists are asked for."""
MAX_NAMES = 5_000
MAX_JOBS = 200
MAX_KEY_OWNERS = 10
"""Users and clients whose keys are known."""
_MAX_TEXT = 200
_MAX_SETS = 200

T = TypeVar("T")


class _Job(msgspec.Struct, frozen=True):
    id: str
    command: str = ""
    created_at: str = ""


def main(arguments: Sequence[str]) -> int:
    """Refresh one file; returns the exit status, which nobody reads."""
    signal.alarm(MOST_SECONDS)
    options = read_options(arguments[0])
    profile = profile_of(options, os.environ)
    path = known.place(profile.chef_server_url, profile.client_name, os.environ)
    with known.only_one(path, seconds=_LONGEST_TURN if arguments[1:] else 0.0) as alone:
        if alone:
            began = time.monotonic()
            client = ApiClient(profile, limits=LIMITS)
            before = known.read(path) or Known()
            if arguments[1:]:
                known.write(path, with_keys(client, before, arguments[1]))
                return 0
            found = gather(client, before)
            took = round(time.monotonic() - began, 3)
            known.write(path, msgspec.structs.replace(found, took=took))
    return 0


def with_keys(client: ApiClient, before: Known, whose: str) -> Known:
    """What was known, and the names of the keys of `user NAME` or `client NAME`."""
    nothing: list[str] = []
    keys = {**before.keys, whose: _asked(lambda: _key_names(client, whose), nothing)}
    latest = dict(list(keys.items())[-MAX_KEY_OWNERS:])
    return msgspec.structs.replace(before, keys=latest)


def _key_names(client: ApiClient, whose: str) -> list[str]:
    kind, _, name = whose.partition(" ")
    return _names(identity_keys.names(client, kind, name)) if is_node_name(name) else []


def gather(client: ApiClient, before: Known) -> Known:
    """What the server tells this client; what it does not is as it was before.

    Raises:
        ServerUnreachable: nothing can be asked.
    """
    app = App(connect=lambda *_: client)
    nodes = _asked(lambda: _nodes(client), before.nodes)
    entries, whitelists = _asked(
        lambda: _whitelists(client, nodes), (before.entries, before.whitelists)
    )
    return Known(
        nodes=nodes,
        sets=_sets(nodes),
        jobs=_asked(lambda: _jobs(client), before.jobs),
        entries=entries,
        whitelists=whitelists,
        groups=_asked(lambda: _names(identities.group_names(app)), before.groups),
        users=_asked(lambda: _names(identities.user_names(app)), before.users),
        clients=_asked(lambda: _names(identities.client_names(app)), before.clients),
        tokens=_asked(lambda: _tokens(client), before.tokens),
        keys={
            whose: _asked(lambda whose=whose: _key_names(client, whose), names)  # type: ignore[misc]
            for whose, names in before.keys.items()
        },
    )


def _asked(ask: Callable[[], T], before: T) -> T:
    """The answer; one that is refused is empty."""
    try:
        return ask()
    except (PermissionDenied, NotFound):
        return ([], []) if isinstance(before, tuple) else []  # type: ignore[return-value]
    except ServerUnreachable:
        raise
    except PushcliError:
        return before


def _names(names: Sequence[str]) -> list[str]:
    return sorted(filter(is_node_name, names), key=by_number)[:MAX_NAMES]


def _nodes(client: ApiClient) -> list[str]:
    try:
        states = checked(client.node_states(), list[NodeAvailability])
        names = [state.node_name for state in states]
    except PermissionDenied:
        names = list(checked(client.get("nodes"), dict[str, Any]))
    return sorted(filter(is_node_name, names), key=by_number)[:MAX_NODES]


def _sets(nodes: Sequence[str]) -> list[str]:
    """Those of more than one node."""
    return [text for text in folded_groups(nodes) if "[" in text][:_MAX_SETS]


def _jobs(client: ApiClient) -> list[KnownJob]:
    """The newest ones, the newest first."""
    page = client.job_page({"limit": str(MAX_JOBS)})
    # An older server gives all jobs, the oldest first; some may be of the same second.
    raw = page.get("jobs") if isinstance(page, dict) else page[::-1]
    found = checked(raw, list[_Job])
    jobs = [KnownJob(job.id, job.command[:_MAX_TEXT], _seconds(job.created_at)) for job in found]
    newest = sorted(jobs, key=lambda job: -job.created_at)
    return [job for job in newest if is_job_id(job.id)][:MAX_JOBS]


def _seconds(date: str) -> float:
    try:
        return parse_rfc1123(date)
    except ValueError:
        return 0.0


def _tokens(client: ApiClient) -> list[KnownToken]:
    found = checked(client.get("tokens"), list[Token])
    return [KnownToken(one.id, f"{one.node or 'any node'}, {one.uses} left") for one in found][
        :MAX_NAMES
    ]


def _whitelists(
    client: ApiClient, nodes: Sequence[str]
) -> tuple[list[tuple[str, str]], list[Whitelisted]]:
    """The entries that a job can name, and which nodes have which."""
    if "whitelist" not in client.extensions:
        return [], []
    places = {name: place for place, name in enumerate(nodes)}
    notes: dict[str, str] = {}
    having: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for one in our_server.read(client, nodes[:MAX_WHITELISTS]):
        entries = _entries(one)
        notes |= entries
        if one.node in places:
            having[tuple(sorted(entries))].append(places[one.node])
    chosen = sorted(notes)[:MAX_NAMES]
    numbers = {name: number for number, name in enumerate(chosen)}
    lists = [
        Whitelisted(having[names], [numbers[name] for name in names if name in numbers])
        for names in having
    ]
    return [(name, notes[name]) for name in chosen], lists


def _entries(one: NodeWhitelist) -> dict[str, str]:
    """Names and what they are for: what is in force, where the node told of that."""
    entries = one.in_force.entries if one.in_force is not None else one.entries
    return {
        entry.name: _note(entry.value)
        for entry in entries
        if not is_pattern(entry.name) and len(entry.name) <= _MAX_TEXT
    }


def _note(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("description") or value.get("command_line") or ""
    return value[:_MAX_TEXT] if isinstance(value, str) else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
