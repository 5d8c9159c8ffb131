"""Who may edit whitelists: what operators say about each other's keys."""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pushcli.client import editors
from pushcli.errors import NotFound, ServerError
from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.protocol import limits
from pushcli.terminal.asking import agrees
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.table import write_table
from pushcli.terminal.times import in_utc, times_column
from pushcli.whitelist import checkpoint as checkpoints
from pushcli.whitelist.chain import ADD, CHECKPOINT, Statement, added_key
from pushcli.whitelist.statements import Change, fingerprint
from pushcli.whitelist.workstation import changing, remote
from pushcli.whitelist.workstation.views import SignedEntry

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


def show(app: App) -> None:
    """The keys that somebody vouches for, or took back."""
    found = _newest(remote.known_editors(app).statements)
    if not app.is_text:
        app.emit([{**_facts(one), "version": one.content.version} for one in found])
        return
    if not found:
        app.note("no editor is vouched for: agents trust those that they pinned")
    when = times_column(app, "since")
    rows = [(*list(_facts(one).values())[:-1], when.text(_made_at(one))) for one in found]
    header = ("editor", "key", "state", "by", when.title)
    write_table(app, header, rows, cut={"by": 4, "editor": 6}, extra=("by",))


def add(app: App, name: str, file: Path) -> None:
    """Vouch for the key in a file as that of an editor.

    Raises:
        KeyFileError: no public key is in it.
    """
    key = _read(file)
    statement = editors.vouch(app.client, name, key)
    _print_statement(app, name, key, statement, "is now an editor")
    _note_trust(app)


def remove(app: App, name: str, file: Path | None, *, sign_again: bool) -> ExitStatus:
    """Say that a key is no editor's any more: the one in the file, or all known of that name.

    What it signed is listed, for that is not in force any more.

    Args:
        sign_again: sign that with the own key, without asking.

    Raises:
        NotFound: nobody vouches for one of that name.
    """
    if file is not None:
        keys = [_read(file)]
    else:
        live = checkpoints.live(remote.known_editors(app).statements)
        keys = [_key_of(one) for one in live if one.content.editor == name]
    if not keys:
        raise NotFound(
            f"no key is vouched for as editor {name!r}", "give the file of the public key"
        )
    status = ExitStatus.OK
    for key in keys:
        statement = _revoke(app, name, key)
        _print_statement(app, name, key, statement, "is no longer an editor")
        _note_trust(app)
        is_own = fingerprint(key) == app.client.signer.fingerprint
        if not is_own and app.is_text:
            app.note(
                "a node that pinned this key goes on with it until a second editor, pinned there "
                "too, takes it back, or `pushcli agent editors remove` does it there"
            )
        again = [] if is_own else _signed_with(app, fingerprint(key))
        if again and (sign_again or _wants_again(app, name, again)):
            status = _sign_again(app, again)
    return status


def checkpoint(app: App) -> None:
    """Let what is needed of the statements stand for all.

    Raises:
        UsageError: keys would not count any more, and there is no terminal to ask on.
    """
    known = remote.known_editors(app)
    keep = editors.to_keep(app.client, known)
    if keep.dropped:
        for one in keep.dropped:
            app.note(escape_line(f"no room for {one.content.editor} ({one.subject})"))
        question = f"{len(keep.dropped)} keys will no longer be trusted. Continue?"
        if not agrees(app, question):
            return
    statement = editors.checkpoint(app.client, known, keep.statements)
    if not app.is_text:
        app.emit(statement)
        return
    app.print(f"{len(keep.statements)} statements stand for {len(known.statements)}")


def _note_trust(app: App) -> None:
    """Where one's own key may not count, and what to do there."""
    own = app.client.signer.fingerprint
    said = [one for one in remote.known_editors(app).statements if one.subject == own]
    if not app.is_text or (said and said[-1].action == ADD):
        return
    why = "your key was taken back as an editor's" if said else "nobody vouches for your key"
    app.note(
        f"{why} ({own}): this counts on nodes that pinned it only. For the others ask an editor "
        f"whom they trust to run `pushcli whitelist editors add {app.client.name} FILE`"
    )


def _revoke(app: App, name: str, key: "RSAPublicKey") -> dict[str, Any]:
    return editors.revoke(app.client, name, key)


def _signed_with(app: App, key: str) -> list[SignedEntry]:
    if editors.EXTENSION not in app.client.extensions:
        return []
    return remote.signed_with(app, key)


def _wants_again(app: App, name: str, found: Sequence[SignedEntry]) -> bool:
    """List what is not in force any more; whether it is to be signed again."""
    app.note(f"no longer in force, because {name} signed it:")
    for (entry, value), nodes in _by_value(found).items():
        app.note(escape_line(f"  {entry} = {value} on {fold(nodes)}"))
    # -y is no consent to whatever somebody signed whose key may have been stolen.
    if app.options.yes or not app.can_ask:
        app.note("look at it, then sign it with `pushcli whitelist editors remove --sign-again`")
        return False
    return agrees(app, "Sign all of it again, with your key?")


def _sign_again(app: App, found: Sequence[SignedEntry]) -> ExitStatus:
    changes: dict[tuple[str, ...], list[Change]] = defaultdict(list)
    values = {(one.name, _text(one.value)): one.value for one in found}
    for (entry, value), nodes in _by_value(found).items():
        changes[tuple(nodes)].append(Change(entry, values[entry, value]))
    worst = ExitStatus.OK
    for where, of_nodes in changes.items():
        worst = max(worst, changing.make(app, where, of_nodes))
    return worst


def _by_value(found: Sequence[SignedEntry]) -> dict[tuple[str, str], list[str]]:
    nodes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in found:
        nodes[one.name, _text(one.value)].append(one.node)
    return nodes


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _read(file: Path) -> "RSAPublicKey":
    # Loaded where keys are needed: it takes a while.
    from pushcli.keys import load_public_key, read_public_key  # noqa: PLC0415

    return load_public_key(read_public_key(file))


def _print_statement(
    app: App, name: str, key: "RSAPublicKey", statement: dict[str, Any], what: str
) -> None:
    if not app.is_text:
        app.emit(statement)
        return
    app.print(f"{name} ({fingerprint(key)}) {what}: signed by {app.client.signer.name}")


def _newest(said: Sequence[Statement]) -> list[Statement]:
    """The last one about each key, in their order."""
    last = {one.subject: one for one in said if one.action != CHECKPOINT}
    return [one for one in said if last.get(one.subject) is one]


def _facts(one: Statement) -> dict[str, str]:
    return {
        "editor": one.content.editor,
        "key": one.subject,
        "state": _state(one),
        "by": one.content.signer,
        "since": in_utc(_made_at(one)),
    }


def _made_at(one: Statement) -> float:
    """Seconds since the epoch: a version is the time in microseconds."""
    return one.content.version / 1_000_000


def _state(one: Statement) -> str:
    if one.content.version > (time.time() + limits.MAX_AHEAD) * 1_000_000:
        return "void: dated in the future"
    return "vouched for" if one.action == ADD else "removed"


def _key_of(one: Statement) -> "RSAPublicKey":
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers  # noqa: PLC0415

    try:
        numbers = added_key(one)
    except ValueError as error:
        raise ServerError(
            f"unexpected answer from the server: a statement about {one.content.editor!r}: {error}",
            "give the file of the public key",
        ) from error
    return RSAPublicNumbers(numbers.exponent, numbers.modulus).public_key()
