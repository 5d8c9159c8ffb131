"""What there is of a kind, from what is known of the server; it is refreshed in the background."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import click
from click.shell_completion import CompletionItem

from pushcli import durations
from pushcli.completion import files, known
from pushcli.completion.known import Known
from pushcli.completion.line import AFTER, UNFINISHED
from pushcli.errors import PushcliError
from pushcli.protocol.names import LAST_JOB
from pushcli.terminal.context import App, profile_of

MOST = 300
"""Things that are offered at once; with more the shell still finds what all of them begin with."""
PATIENCE = 0.8
"""Seconds for the first refresh: before that there is nothing to offer."""
_OPERATORS = ",!&^"
_SHELL_VARIABLES = ("_PUSHCLI_", "COMP_")


def candidates(app: App, kind: str, ctx: click.Context, typed: str) -> list[CompletionItem]:
    """What begins with what was typed, at most `MOST`; nothing if nothing is known."""
    # What is being created has a name of its own, and so has a key that is added.
    if ctx.command.name == "create" or (kind, ctx.command.name) == ("key", "add"):
        return []
    if kind == "nodes" and typed[(place := _last_name(typed)) :].startswith("@"):
        return list(_files(typed[: place + 1], typed[place + 1 :]))
    whose = _whose_keys(ctx) if kind == "key" else ""
    there = load(app, whose)
    match kind:
        case "node":
            found = [(name, "") for name in _begun(there.nodes, typed)]
        case "nodes":
            found = _nodes(there, typed)
        case "job":
            found = _jobs(there, typed)
        case "command":
            found = _commands(there, typed, app.env.get(AFTER, "").split("\n"))
        case "entry":
            found = _few([entry for entry in there.entries if entry[0].startswith(typed)])
        case "key":
            found = [(name, "") for name in _begun(there.keys.get(whose, []), typed)]
        case "token":
            found = [(one.id, one.note) for one in there.tokens if one.id.startswith(typed)]
        case _:
            named = {"user": there.users, "client": there.clients, "group": there.groups}
            found = [(name, "") for name in _begun(named.get(kind, []), typed)]
    return [CompletionItem(value, help=note) for value, note in found]


def _whose_keys(ctx: click.Context) -> str:
    """`user ann` or `client ann`, as `Known.keys` has it."""
    group = ctx.parent.parent if ctx.parent is not None else None
    kind = "" if group is None else group.info_name
    return f"{kind} {ctx.params.get('name') or ''}"


def _files(before: str, typed: str) -> Iterator[CompletionItem]:
    """Of `@FILE`; in a larger expression a file's name has no operators."""
    alone = before == "@"
    for path in files.begun(typed)[:MOST]:
        if alone or not set(path) & set(_OPERATORS):
            yield CompletionItem(before + path, type=UNFINISHED if path[-1] == "/" else "plain")


def load(app: App, whose_keys: str = "") -> Known:
    """What is known of the profile's server; starts a refresh where that is due.

    Args:
        whose_keys: that are needed: `user ann`, or `client ann`.
    """
    try:
        profile = profile_of(app.options, app.env)
    except PushcliError:
        return Known()
    path = known.place(profile.chef_server_url, profile.client_name, app.env)
    there = known.read(path)
    if known.claim(path, there):
        child = _refresh(app)
        if there is None:
            _wait(child)
            there = known.read(path)
    if whose_keys and (there is None or whose_keys not in there.keys) and known.claim_keys(path):
        _wait(_refresh(app, whose_keys))
        there = known.read(path)
    return there or Known()


def _refresh(app: App, whose_keys: str = "") -> int:
    """A process that outlives this one, without a terminal; returns its id."""
    from pushcli.completion import refreshing  # noqa: PLC0415 - once in a while

    env = {name: value for name, value in app.env.items() if not name.startswith(_SHELL_VARIABLES)}
    nowhere = [(os.POSIX_SPAWN_OPEN, each, os.devnull, os.O_RDWR, 0) for each in range(3)]
    # -P: no module of the directory in which somebody happens to be is run.
    command = [sys.executable, "-P", "-m", refreshing.MODULE, refreshing.options_text(app.options)]
    command += [whose_keys] if whose_keys else []
    return os.posix_spawn(sys.executable, command, env, file_actions=nowhere, setsid=True)


def _wait(child: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.01)


def _begun(names: Sequence[str], typed: str) -> list[str]:
    return [name for name, _ in _few([(name, "") for name in names if name.startswith(typed)])]


def _few(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """At most `MOST`, that begin alike with no more characters than all of them."""
    if len(found) <= MOST:
        return found
    return list(dict.fromkeys([*found[: MOST - 2], min(found), max(found)]))


def _nodes(there: Known, typed: str) -> list[tuple[str, str]]:
    """The last name of an expression; sets, too, where one was begun."""
    place = _last_name(typed)
    before, begun = typed[:place], typed[place:]
    sets = [text for text in there.sets if text.startswith(begun)]
    if "[" in begun:
        return [(before + text, "") for text in sets]
    found = [*sets, *_begun(there.nodes, begun)]
    return [(before + text, "") for text in found]


def _last_name(typed: str) -> int:
    """Where it begins: behind the last operator that is not within brackets, or a file's name."""
    if typed.startswith("@"):
        return 0
    place, inside = 0, False
    for end, character in enumerate(typed, 1):
        inside = character == "[" or (inside and character != "]")
        if character in _OPERATORS and not inside:
            place = end
    return place


def _jobs(there: Known, typed: str) -> list[tuple[str, str]]:
    now = time.time()
    last = [(LAST_JOB, "the last one that you started")] if LAST_JOB.startswith(typed) else []
    return last + [
        (job.id, f"{job.command}, {_age(now - job.created_at)}")
        for job in there.jobs
        if job.id.startswith(typed)
    ]


def _age(seconds: float) -> str:
    return f"{durations.age(max(0.0, seconds))} ago"


def _commands(there: Known, typed: str, after: Iterable[str]) -> list[tuple[str, str]]:
    """The entries of any node; where nodes are named behind the cursor, of those."""
    entries: Iterable[tuple[str, str]] = there.entries
    chosen = _named(there, after)
    if chosen:
        having = (one.entries for one in there.whitelists if not chosen.isdisjoint(one.nodes))
        places = sorted({place for some in having for place in some})
        entries = [there.entries[place] for place in places if place < len(there.entries)]
    return _few([entry for entry in entries if entry[0].startswith(typed)])


def _named(there: Known, words: Iterable[str]) -> set[int]:
    """The places of the nodes that the words name; what is no node counts for nothing."""
    from pushcli.nodes import targets  # noqa: PLC0415 - rarely needed

    places: dict[str, int] = {}
    found: set[int] = set()
    for word in words:
        if not word or word.startswith(("-", "@")):
            continue
        places = places or {name: place for place, name in enumerate(there.nodes)}
        try:
            names = targets.evaluate(targets.parse(word), there.nodes, {}, strict=False)
        except (PushcliError, KeyError):
            continue
        found |= {places[name] for name in names if name in places}
    return found
