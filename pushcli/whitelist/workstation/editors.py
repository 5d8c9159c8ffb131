"""Who may edit whitelists: what operators say about each other's keys."""

import time
from pathlib import Path

import msgspec

from pushcli.client.answers import checked
from pushcli.errors import NotFound
from pushcli.terminal.context import App
from pushcli.terminal.table import write_table
from pushcli.whitelist.statements import EditorStatement, fingerprint, next_version
from pushcli.whitelist.workstation import remote, words


def show(app: App) -> None:
    """The keys that somebody vouches for, or took back."""
    found = _statements(app)
    if not app.is_text:
        app.emit(msgspec.to_builtins([{**_facts(one), "version": one.version} for one in found]))
        return
    if not found:
        app.note("no editor is vouched for: agents trust those that they pinned")
    rows = [tuple(_facts(one).values()) for one in found]
    write_table(app, ("editor", "key", "state", "by", "since"), rows)


def add(app: App, name: str, file: Path) -> None:
    """Vouch for the key in a file as that of an editor.

    Raises:
        KeyFileError: no public key is in it.
    """
    _state(app, name, _read(file), removed=False)


def remove(app: App, name: str, file: Path | None) -> None:
    """Say that a key is no editor's any more: the one in the file, or all known of that name.

    Raises:
        NotFound: nobody vouches for one of that name.
    """
    if file is not None:
        _state(app, name, _read(file), removed=True)
        return
    found = [one for one in _statements(app) if one.editor == name and not one.removed]
    if not found:
        raise NotFound(
            f"no key is vouched for as editor {name!r}", "give the file of the public key"
        )
    for one in found:
        _state(app, name, _pem_of(one), removed=True)


def _read(file: Path) -> str:
    # Loaded where keys are needed: it takes a while.
    from pushcli.keys import read_public_key  # noqa: PLC0415

    return read_public_key(file)


def _state(app: App, name: str, pem: str, *, removed: bool) -> None:
    from pushcli.keys import load_public_key  # noqa: PLC0415

    key = load_public_key(pem)
    known = [one.version for one in _statements(app)]
    signer = app.client.signer
    version = next_version(time.time(), known)
    statement = signer.vouch(name, key, version, removed=removed)
    remote.record_statement(app, statement)
    if not app.is_text:
        app.emit(statement)
        return
    what = "is no longer an editor" if removed else "is now an editor"
    app.print(f"{name} ({fingerprint(key)}) {what}: signed by {signer.name}")


def _statements(app: App) -> list[EditorStatement]:
    return checked(remote.statements(app), list[EditorStatement])


def _facts(one: EditorStatement) -> dict[str, str]:
    return {
        "editor": one.editor,
        "key": one.editor_key().fingerprint,
        "state": "removed" if one.removed else "vouched for",
        "by": one.signer,
        "since": words.date(one.version),
    }


def _pem_of(one: EditorStatement) -> str:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers  # noqa: PLC0415

    from pushcli.keys import public_pem  # noqa: PLC0415

    numbers = one.editor_key()
    return public_pem(RSAPublicNumbers(numbers.exponent, numbers.modulus).public_key())
