"""`pushcli agent editors` on an agent's directory, and what enrolment says about a single key."""

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from pushcli import keys
from pushcli.cli import root
from pushcli.errors import ConfigError, KeyFileError, NotFound
from pushcli.terminal.context import App
from pushcli_agent.enrolment import pinned
from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.editors import Editor
from tests.support.editors import fp, key_of


def run(directory: Path, *arguments: str) -> tuple[str, str]:
    """`pushcli agent editors ARGUMENTS` in this process: what it printed."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True), io.StringIO()
    app = App(stdout=out, stderr=err, stdin=None, env={})
    arguments = ("agent", "editors", *arguments, "--dir", str(directory))
    with root.make_context("pushcli", list(arguments), obj=app) as context:
        root.invoke(context)
    assert isinstance(out.buffer, io.BytesIO)
    return out.buffer.getvalue().decode(), err.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An agent's directory, and public keys beside it."""
    for name in ("ann", "bob"):
        (tmp_path / f"{name}.pub").write_text(keys.public_pem(key_of(name)))
    directory = tmp_path / "agent"
    directory.mkdir(mode=0o700)
    return directory


def content(place: Path) -> Any:
    return json.loads((place / editors.FILE).read_text())


def test_a_directory_without_editors_is_said(place: Path) -> None:
    said, noted = run(place, "list")
    assert (said, noted) == ("", f"no editor is known in {place}: no agent is enrolled there\n")


def test_keys_are_pinned_listed_and_taken_back(place: Path) -> None:
    for name in ("ann", "bob"):
        said, _ = run(place, "add", name, str(place.parent / f"{name}.pub"))
        assert said == f"{name} ({fp(name)}) is an editor on this node\n"
    assert stat.S_IMODE((place / editors.FILE).stat().st_mode) == 0o600
    assert set(editors.load(place / editors.FILE).trusted) == {fp("ann"), fp("bob")}
    said, _ = run(place, "remove", "bob")
    assert fp("bob") in said
    pins = editors.load(place / editors.FILE)
    assert (set(pins.trusted), set(pins.distrusted)) == ({fp("ann")}, {fp("bob")})
    said, _ = run(place, "list")
    assert said.splitlines() == [f"ann\t{fp('ann')}\tpinned", f"\t{fp('bob')}\tdistrusted here"]
    # And back.
    run(place, "add", "bob", str(place.parent / "bob.pub"))
    assert set(editors.load(place / editors.FILE).distrusted) == set()


@pytest.mark.parametrize("by", ["name", "fingerprint", "file"])
def test_the_last_key_goes_with_a_warning(place: Path, by: str) -> None:
    file = str(place.parent / "ann.pub")
    run(place, "add", "ann", file)
    what = {"name": "ann", "fingerprint": fp("ann"), "file": file}[by]
    said, noted = run(place, "remove", what)
    assert said == f"{fp('ann')} is no longer trusted on this node\n"
    assert "no key is pinned now" in noted
    assert content(place) == {"editors": [], "distrusted": [fp("ann")]}


def test_what_is_not_known_is_not_taken_back(place: Path) -> None:
    with pytest.raises(NotFound, match="no editor 'bob'"):
        run(place, "remove", "bob")
    with pytest.raises(KeyFileError):
        run(place, "add", "bob", str(place.parent / "nosuch"))
    (place / editors.FILE).write_text("{")
    with pytest.raises(ConfigError, match=r"editors\.json"):
        run(place, "add", "bob", str(place.parent / "bob.pub"))
    assert (place / editors.FILE).read_text() == "{"


def test_enrolment_advises_a_second_key_if_there_is_one_only() -> None:
    found = [Editor(name, keys.public_pem(key_of(name)), fp(name)) for name in ("ann", "bob")]
    one = "\n".join(pinned.describe(found[:1], by_server=True))
    assert "the only key" in one
    assert "kept offline" in one
    assert "offline" not in "\n".join(pinned.describe(found, by_server=True))
