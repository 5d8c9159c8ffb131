"""Enrolment: the node makes its key, the server learns the public half.

The private key never leaves the node. What can be written before the server is asked is
written by then, and gets its name after it agreed: a refusal leaves nothing half done.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pushcli import errors, keys, tls
from pushcli.client.http import Server
from pushcli.protocol import names
from pushcli_agent import config
from pushcli_agent.enrolment import pinned
from pushcli_agent.enrolment.register import Token, Validator, register
from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.editors import Editor


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """What to enroll, where, and by whose leave.

    Args:
        trusted: editors to pin, whoever the server names; empty: those that it names.
    """

    server_url: str
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
    """

    settings: Path
    editors: Sequence[Editor] | None


def enroll(wanted: Enrolment) -> Enrolled:
    """Make the node's key, register it, and write the agent's directory.

    Raises:
        PushcliError: it is enrolled already, or something failed; nothing was changed.
    """
    config.check_server_url(wanted.server_url)
    server = Server(
        url=wanted.server_url,
        ca_file=wanted.ca_file,
        fingerprint=wanted.fingerprint,
        remedy="give --ca-file or --fingerprint",
    )
    tls.require_safe_url(wanted.server_url)
    if not names.is_node_name(wanted.node_name):
        raise errors.UsageError(
            f"invalid node name {wanted.node_name!r}", "use letters, digits and _ . : -"
        )
    try:
        _refuse_a_second(wanted.directory)
        return _enroll(wanted, server)
    except OSError as error:
        raise errors.ConfigError(
            f"cannot write {error.filename or wanted.directory}: {error.strerror}",
            "check the directory and its owner",
        ) from error


def _enroll(wanted: Enrolment, server: Server) -> Enrolled:
    place = wanted.directory
    with _prepared(place) as (key_file, editors_file, settings_file):
        key = keys.generate()
        keys.write_private_key(key_file, key)
        keys.write_secret(settings_file, _settings(wanted).encode())
        keys.write_secret(editors_file, pinned.content(wanted.trusted))
        answer = register(server, wanted.credential, wanted.node_name, key)
        key_file.rename(place / config.KEY_FILE)
        if wanted.trusted:
            editors_file.rename(place / editors.FILE)
        settings = settings_file.rename(place / config.FILE)
    accepted = wanted.trusted or pinned.parse_answer(answer.get("editors"))
    if accepted is not None and not wanted.trusted:
        _pin(place / editors.FILE, accepted)
    return Enrolled(settings=settings, editors=accepted)


def _pin(file: Path, accepted: Sequence[Editor]) -> None:
    try:
        keys.write_secret(file, pinned.content(accepted))
    except errors.KeyFileError as error:
        error.message = f"the node is enrolled, but accepts no editors: {error.message}"
        raise


def _refuse_a_second(directory: Path) -> None:
    for name in (config.FILE, config.KEY_FILE, editors.FILE):
        if (directory / name).exists():
            raise errors.ConfigError(
                f"{directory} is already enrolled: it contains {name}",
                "start it with `pushcli agent start`, or give another --dir",
            )


@contextmanager
def _prepared(directory: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Names for the files to be; afterwards neither they nor a new empty directory are left."""
    is_new = not directory.exists()
    names = (config.KEY_FILE, editors.FILE, config.FILE)
    files = [directory / f".{name}.new" for name in names]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file in files:
            file.unlink(missing_ok=True)
        yield files[0], files[1], files[2]
    finally:
        if directory.is_dir():
            for file in files:
                file.unlink(missing_ok=True)
            if is_new and not any(directory.iterdir()):
                directory.rmdir()


def _settings(wanted: Enrolment) -> str:
    lines = [
        "# The agent of this node; docs/agent.md explains every key.",
        f"chef_server_url = {_text(wanted.server_url)}",
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


def _text(value: str) -> str:
    # A JSON string without other escapes is a TOML basic string.
    return json.dumps(value, ensure_ascii=False)
