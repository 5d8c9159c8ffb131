"""The editors that a node pins: when it enrolls, and by hand on the node."""

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pushcli import keys
from pushcli.errors import ConfigError, KeyFileError, NotFound, UsageError
from pushcli.protocol import names
from pushcli.whitelist import rsa_numbers
from pushcli_agent.whitelist import server_whitelist
from pushcli_agent.whitelist.editors import FILE, Content, Editor, read

MAX_EDITORS = 1_000


def trusted(given: Sequence[str]) -> list[Editor]:
    """The editors of `--trust-editor`: `FILE`, whose stem is the name, or `NAME=FILE`.

    Raises:
        UsageError: an invalid name.
        KeyFileError: a file without a public key.
    """
    return [_trusted(text) for text in given]


def _trusted(text: str) -> Editor:
    name, equals, file = text.partition("=")
    if not equals or not names.is_node_name(name):
        name, file = re.sub(r"\.pub$", "", Path(text).stem), text
    if not names.is_node_name(name):
        raise UsageError(f"invalid editor name {name!r}", "give --trust-editor NAME=FILE")
    return _read_editor(name, Path(file))


def parse_answer(answer: Any) -> list[Editor] | None:
    """The editors that the server names, but for keys that cannot be used.

    None: it is an old server, which knows of none.
    """
    if not isinstance(answer, list):
        return None
    found = []
    for value in answer[:MAX_EDITORS]:
        # The node is registered by now: one odd key must not cost it the others.
        with contextlib.suppress(msgspec.ValidationError, KeyFileError):
            said = msgspec.convert(value, Editor)
            if names.is_node_name(said.name):
                # The fingerprint is made of the key itself, not taken from the server.
                found.append(editor(said.name, said.public_key))
    return found


def content(editors: Iterable[Editor]) -> bytes:
    """The file that the agent reads them from."""
    text = msgspec.json.format(msgspec.json.encode({"editors": list(editors)}), indent=2)
    return text + b"\n"


def describe(editors: Sequence[Editor] | None, *, by_server: bool) -> Iterator[str]:
    """Lines for the person who enrolls, who alone can tell whether the keys are the right ones."""
    if editors is None:
        yield (
            "The server named no editors: it cannot change this node's whitelist. Pin one: "
            "`pushcli agent editors add NAME FILE`"
        )
        return
    if not editors:
        yield "Its whitelist cannot be edited on the server: none of the editors' keys is usable"
        return
    by = "named by the server; compare the keys" if by_server else "given by you"
    yield f"Edits of its whitelist are accepted from ({by}):"
    for one in editors:
        yield f"  {one.name}  {one.fingerprint}"
    if len(editors) == 1:
        yield (
            "This is the only key: if it is stolen, only it itself or `pushcli agent editors` on "
            "this node can take it back. Pin a second one that is kept offline: "
            "`pushcli agent editors add NAME FILE`"
        )


def facts(editors: Sequence[Editor] | None) -> list[dict[str, str]] | None:
    """The same for programs; None: the server named none."""
    if editors is None:
        return None
    return [{"name": one.name, "fingerprint": one.fingerprint} for one in editors]


def pin(directory: Path, name: str, file: Path) -> Editor:
    """Trust a key on this node.

    Raises:
        KeyFileError: no public key is in the file.
        ConfigError: `editors.json` cannot be read or written.
    """
    new = _read_editor(name, file)
    known = read(directory / FILE)
    others = [one for one in known.editors if _fingerprint(one) != new.fingerprint]
    distrusted = [key for key in known.distrusted if key != new.fingerprint]
    _write(directory / FILE, Content([*others, new], distrusted))
    return new


def unpin(directory: Path, what: str) -> list[str]:
    """Trust keys no more on this node, whoever vouches for them; returns their fingerprints.

    Args:
        what: a fingerprint, a file with a public key, or the name of editors.

    Raises:
        NotFound: no editor of that name is known here.
        ConfigError: `editors.json` cannot be read or written.
    """
    known = read(directory / FILE)
    gone = _meant(directory, known, what)
    left = [one for one in known.editors if _fingerprint(one) not in gone]
    distrusted = sorted({*known.distrusted, *gone})
    _write(directory / FILE, Content(left, distrusted))
    return gone


def _meant(directory: Path, known: Content, what: str) -> list[str]:
    if what.startswith("SHA256:"):
        return [what]
    if Path(what).is_file():
        return [keys.fingerprint(keys.load_public_key(keys.read_public_key(Path(what))))]
    standing = server_whitelist.standing(directory)
    vouched = [key for key, one in standing.vouched.items() if one.name == what]
    pinned = [_fingerprint(one) for one in known.editors if one.name == what]
    if not pinned and not vouched:
        raise NotFound(
            f"no editor {what!r} is known here", "give the fingerprint, or a file with the key"
        )
    return sorted({*pinned, *vouched})


def rows(directory: Path) -> list[tuple[str, str, str]]:
    """All keys that this node knows of: name, fingerprint, and how it stands.

    Raises:
        ConfigError: `editors.json` cannot be read.
    """
    known = read(directory / FILE)
    standing = server_whitelist.standing(directory)
    names = {_fingerprint(one): one.name for one in known.editors}
    found = []
    first = {_fingerprint(one) for one in known.editors if one.first_use}
    for key, name in names.items():
        pinned = "pinned on first use" if key in first else "pinned"
        state = "taken back by editors" if key in standing.taken_back else pinned
        found.append((name, key, "distrusted here" if key in known.distrusted else state))
    for key, vouched in standing.vouched.items():
        if key not in names or key in standing.taken_back:
            state = "distrusted here" if key in known.distrusted else "vouched for"
            found.append((vouched.name, key, state))
    listed = {key for _, key, _ in found}
    found += [("", key, "distrusted here") for key in known.distrusted if key not in listed]
    return found


def _write(file: Path, known: Content) -> None:
    """Over the file that there is, and with its owner: the agent may not be root."""
    text = msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n"
    new = file.with_name(f".{file.name}.new")
    try:
        new.unlink(missing_ok=True)
        keys.write_secret(new, text)
        owner = (file if file.exists() else file.parent).stat()
        if os.geteuid() == 0:
            os.chown(new, owner.st_uid, owner.st_gid)
        new.replace(file)
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}", "check its owner") from error


def _fingerprint(editor: Editor) -> str:
    """Of the key itself, whatever the file says."""
    return rsa_numbers.from_pem(editor.public_key).fingerprint


def editor(name: str, pem: str, *, first_use: bool = False) -> Editor:
    """Somebody with this key, as he is pinned.

    Raises:
        KeyFileError: the agent checks no signatures with such a key.
    """
    key = keys.load_public_key(pem)
    text = keys.public_pem(key)
    try:
        is_usable = rsa_numbers.from_pem(text).is_usable
    except ValueError:
        is_usable = False
    if not is_usable:
        raise KeyFileError(
            f"not an RSA key of {rsa_numbers.MIN_BITS} to {rsa_numbers.MAX_BITS} bits with a usual "
            "exponent",
            "make a new one",
        )
    return Editor(
        name=name, public_key=text, fingerprint=keys.fingerprint(key), first_use=first_use
    )


def _read_editor(name: str, file: Path) -> Editor:
    pem = keys.read_public_key(file)
    try:
        return editor(name, pem)
    except KeyFileError as error:
        raise KeyFileError(f"{file}: {error.message}", error.remedy) from error
