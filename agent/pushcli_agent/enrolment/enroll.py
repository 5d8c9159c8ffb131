"""Enrolment: the node makes its key, the server learns the public half.

The private key never leaves the node. What can be written before the server is asked is
written by then, and gets its name after it agreed: a refusal leaves nothing half done. Where it is
not known whether the server agreed, the key stays, and the next enrolment goes on with it.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import errors, keys, tls
from pushcli.client.http import Server
from pushcli.protocol import names
from pushcli_agent import config
from pushcli_agent.enrolment import pinned, unfinished
from pushcli_agent.enrolment.register import (
    Registered,
    Token,
    Validator,
    is_refusal,
    make_node_object,
    register,
    registered,
)
from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.editors import Editor


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What to enroll, where, and by whose leave.

    Args:
        server_urls: of one server, asked in turn.
        trusted: editors to pin, whoever the server names; empty: those that it names.
    """

    server_urls: tuple[str, ...]
    node_name: str
    credential: Validator | Token
    directory: Path
    trusted: Sequence[Editor] = ()
    ca_file: Path | None = None
    fingerprint: str | None = None


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Args:
        settings: the agent's configuration file.
        editors: whose edits the agent takes; None: the server knows of none.
        missing: why a Chef Infra Server has no node object of it; None: it has.
    """

    settings: Path
    editors: Sequence[Editor] | None
    missing: str | None = None


def enroll(wanted: Enrolment) -> Enrolled:
    """Make the node's key, register it, and write the agent's directory.

    Raises:
        PushcliError: it is enrolled already, or something failed; nothing was changed.
    """
    config.check_server_urls(wanted.server_urls)
    server = Server(
        url=wanted.server_urls[0],
        others=wanted.server_urls[1:],
        ca_file=wanted.ca_file,
        fingerprint=wanted.fingerprint,
        remedy="give --ca-file or --fingerprint",
    )
    for url in wanted.server_urls:
        tls.require_safe_url(url)
    if not names.is_node_name(wanted.node_name):
        raise errors.UsageError(
            f"invalid node name {wanted.node_name!r}", "use letters, digits and _ . : -"
        )
    try:
        return _enroll(wanted, server)
    except OSError as error:
        raise errors.ConfigError(
            f"cannot write {error.filename or wanted.directory}: {error.strerror}",
            "check the directory and its owner",
        ) from error


def _enroll(wanted: Enrolment, server: Server) -> Enrolled:
    place = wanted.directory
    with _prepared(wanted):
        key_file = place / unfinished.KEY
        key, answer = _registered(wanted, server, key_file)
        missing = None if answer.by_ours else _lacking(server, wanted.node_name, key)
        key_file.rename(place / config.KEY_FILE)
        try:
            accepted = _pin(wanted, answer)
        finally:
            settings = (place / unfinished.SETTINGS).rename(place / config.FILE)
    return Enrolled(settings=settings, editors=accepted, missing=missing)


def _registered(
    wanted: Enrolment, server: Server, key_file: Path
) -> tuple[RSAPrivateKey, Registered]:
    """The node's key, and what the server answered; a key that it may have by now is kept."""
    node = wanted.node_name
    if os.path.lexists(key_file):
        key = keys.load_private_key(key_file)
        # An enrolment broke off: whatever became of it, a second client is not wanted.
        known = registered(server, node, key)
        return key, known or register(server, wanted.credential, node, key)
    key = keys.generate()
    keys.write_private_key(key_file, key)
    try:
        return key, register(server, wanted.credential, node, key)
    except errors.PushcliError as error:
        if is_refusal(error):
            key_file.unlink()
        else:
            error.remedy = "enroll again in any case: the same key is used, if it is registered"
        raise


def _lacking(server: Server, node: str, key: RSAPrivateKey) -> str | None:
    """Why there is no node object; None: there is one."""
    try:
        make_node_object(server, node, key)
    except errors.PushcliError as error:
        return error.message
    return None


def _pin(wanted: Enrolment, answer: Registered) -> Sequence[Editor] | None:
    """The editors that are pinned now; None: the server knows of none."""
    file, fresh = wanted.directory / editors.FILE, wanted.directory / unfinished.EDITORS
    if wanted.trusted:
        fresh.rename(file)
        return wanted.trusted
    if file.exists():
        # The enrolment that broke off pinned them.
        return editors.read(file).editors
    accepted = pinned.parse_answer(answer.editors)
    if accepted is not None:
        try:
            keys.write_secret(fresh, pinned.content(accepted))
        except errors.KeyFileError as error:
            error.message = f"the node is enrolled, but accepts no editors: {error.message}"
            raise
        fresh.rename(file)
    return accepted


def _refuse_a_second(directory: Path) -> None:
    for name in (config.FILE, config.KEY_FILE, editors.FILE):
        if os.path.lexists(directory / name):
            raise errors.ConfigError(
                f"{directory} is already enrolled: it contains {name}",
                "start it with `pushcli agent start`, or give another --dir",
            )


@contextmanager
def _prepared(wanted: Enrolment) -> Iterator[None]:
    """With all files but the key written, under the names of `unfinished`.

    Afterwards neither they nor a new empty directory are left, but for a key that is kept, and
    the settings that say whose it is.
    """
    directory = wanted.directory
    is_new = not directory.exists()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with unfinished.alone(directory):
        said = (wanted.server_urls, wanted.node_name)
        if not unfinished.undo_half(directory, *said):
            _refuse_a_second(directory)
        unfinished.keep_or_clear(directory, *said)
        try:
            unfinished.write_settings(directory, _settings(wanted).encode())
            if wanted.trusted:
                keys.write_secret(directory / unfinished.EDITORS, pinned.content(wanted.trusted))
            yield
        finally:
            unfinished.clear(directory)
            if is_new and not any(directory.iterdir()):
                directory.rmdir()


def _settings(wanted: Enrolment) -> str:
    lines = [
        "# The agent of this node; docs/agent.md explains every key.",
        f"chef_server_url = {_urls(wanted.server_urls)}",
        f"node_name = {_text(wanted.node_name)}",
        f'client_key = "{config.KEY_FILE}"',
    ]
    if wanted.ca_file is not None:
        lines.append(f"ca_file = {_text(str(wanted.ca_file.absolute()))}")
    if wanted.fingerprint is not None:
        lines.append(f"fingerprint = {_text(wanted.fingerprint)}")
    lines += [
        "",
        "# What a job may choose beside what its entry allows (docs/whitelist.md): nothing.",
        *(f"{key} = []" for key in config.OPEN.values()),
        "",
        '# What operators may start here: name = "command".',
        "[whitelist]",
        '# ntpdate = "ntpdate -u time.example.com"',
    ]
    return "\n".join(lines) + "\n"


def _urls(urls: Sequence[str]) -> str:
    if len(urls) == 1:
        return _text(urls[0])
    return "[\n" + "".join(f"  {_text(url)},\n" for url in urls) + "]"


def _text(value: str) -> str:
    # A JSON string without other escapes is a TOML basic string.
    return json.dumps(value, ensure_ascii=False)
