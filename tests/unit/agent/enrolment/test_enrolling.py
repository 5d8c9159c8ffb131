"""What enrolling takes from the command line, the environment and the server's answer."""

import io
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pushcli import keys
from pushcli.errors import KeyFileError, UsageError
from pushcli.identities.new_key import fingerprint
from pushcli_agent.enrolment import pinned
from pushcli_agent.enrolment.credential import credential
from pushcli_agent.enrolment.register import Token, Validator
from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.editors import Editor


def given(
    token: str | None = None, token_file: Path | None = None, validator_key: Path | None = None,
    validator_name: str | None = None, env: dict[str, str] | None = None, stdin: str = "",
) -> Token | Validator:  # fmt: skip
    return credential(
        token=token, token_file=token_file, validator_key=validator_key,
        validator_name=validator_name, env=env or {}, stdin=io.StringIO(stdin),
    )  # fmt: skip


def test_a_token_comes_from_one_of_four_places(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("ID.file\n")
    env = {"PUSHCLI_ENROLL_TOKEN": "ID.env"}
    assert given(token="ID.t", env=env) == Token("ID.t")
    assert given(token_file=file, env=env) == Token("ID.file")
    assert given(token_file=Path("-"), stdin="ID.in\n") == Token("ID.in")
    assert given(env=env) == Token("ID.env")
    assert given(validator_key=file, env=env) == Validator(key=file)


def test_none_several_and_nonsense_are_refused_without_showing_the_secret(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PUSHCLI_ENROLL_TOKEN"):
        given()
    with pytest.raises(UsageError, match="cannot be combined"):
        given(token="a", validator_key=tmp_path)
    with pytest.raises(UsageError, match="needs --validator"):
        given(token="a", validator_name="v")
    for text in ("", "ID.secret x", "ID.secret\nmore", "ID.secrét", "s" * 1_001):
        with pytest.raises(UsageError) as caught:
            given(token=text)
        assert "secr" not in str(caught.value)
    with pytest.raises(KeyFileError, match="cannot read the token file"):
        given(token_file=tmp_path / "nosuch")


def test_trusted_editors_are_named_by_their_file_or_as_given(tmp_path: Path) -> None:
    key = keys.generate()
    for name in ("bob.pub.pem", "ann.pem", "carl.pub"):
        (tmp_path / name).write_text(keys.public_pem(key))
    found = pinned.trusted([*map(str, sorted(tmp_path.iterdir())), f"dora={tmp_path}/ann.pem"])
    assert [editor.name for editor in found] == ["ann", "bob", "carl", "dora"]
    assert {editor.fingerprint for editor in found} == {fingerprint(keys.public_pem(key))}
    file = tmp_path / "editors.json"
    file.write_bytes(pinned.content(found))
    assert set(editors.load(file).trusted) == {found[0].fingerprint}


def test_a_private_key_and_an_odd_name_are_refused(tmp_path: Path) -> None:
    private = tmp_path / "ann.pem"
    keys.write_private_key(private, keys.generate())
    with pytest.raises(KeyFileError, match=r"private key.*-pubout"):
        pinned.trusted([str(private)])
    with pytest.raises(UsageError, match="NAME=FILE"):
        pinned.trusted([str(tmp_path / "an n.pem")])


def too_long() -> rsa.RSAPublicKey:
    """A key that no agent checks signatures with."""
    return rsa.RSAPublicNumbers(65_537, 2**16_384 - 1).public_key()


def test_a_key_that_the_agent_cannot_go_by_is_not_pinned(tmp_path: Path) -> None:
    file = tmp_path / "ann.pem"
    file.write_text(keys.public_pem(too_long()))
    with pytest.raises(KeyFileError, match=r"ann\.pem.*2048 to 8192 bits"):
        pinned.trusted([str(file)])
    with pytest.raises(KeyFileError, match="2048 to 8192 bits"):
        pinned.pin(tmp_path, "ann", file)
    assert not (tmp_path / editors.FILE).exists()


def test_the_servers_editors_are_those_whose_keys_can_be_used() -> None:
    pem = keys.public_pem(keys.generate())
    forged = {"name": "ann", "public_key": pem, "fingerprint": "SHA256:forged"}
    odd = [
        None,
        {"name": "bob"},
        {"name": "b\x1b", "public_key": pem},
        {"name": "c", "public_key": "x"},
        {"name": "d", "public_key": keys.public_pem(too_long())},
    ]
    found = pinned.parse_answer([forged, *odd])
    assert found == [Editor(name="ann", public_key=pem, fingerprint=fingerprint(pem))]
    assert pinned.parse_answer(None) is None
    assert pinned.parse_answer([]) == []
    assert "no editors" in "\n".join(pinned.describe(None, by_server=True))
    assert "cannot be edited" in "\n".join(pinned.describe([], by_server=True))
    assert fingerprint(pem) in "\n".join(pinned.describe(found, by_server=True))
