"""The editors that a node pins when it enrolls: whose edits of its whitelist it will take."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pushcli import keys
from pushcli.errors import KeyFileError, UsageError
from pushcli.protocol import names
from pushcli_agent.whitelist.editors import Editor

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
    return _editor(name, keys.read_public_key(Path(file)))


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
                found.append(_editor(said.name, said.public_key))
    return found


def content(editors: Iterable[Editor]) -> bytes:
    """The file that the agent reads them from."""
    text = msgspec.json.format(msgspec.json.encode({"editors": list(editors)}), indent=2)
    return text + b"\n"


def describe(editors: Sequence[Editor] | None, *, by_server: bool) -> Iterator[str]:
    """Lines for the person who enrolls, who alone can tell whether the keys are the right ones."""
    if editors is None:
        yield "The server named no editors: it cannot change this node's whitelist"
        return
    if not editors:
        yield "Its whitelist cannot be edited on the server: none of the editors' keys is usable"
        return
    by = "named by the server; compare the keys" if by_server else "given by you"
    yield f"Edits of its whitelist are accepted from ({by}):"
    for editor in editors:
        yield f"  {editor.name}  {editor.fingerprint}"


def _editor(name: str, pem: str) -> Editor:
    key = keys.load_public_key(pem)
    return Editor(name=name, public_key=keys.public_pem(key), fingerprint=keys.fingerprint(key))
