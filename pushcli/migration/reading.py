"""The original's files, read: Ruby, JSON, TOML, and certificates."""

from collections.abc import Mapping
from typing import Any

import msgspec

from pushcli.errors import ConfigError, NotFound
from pushcli.migration import ruby_literals, trust
from pushcli.migration.finding import SERVER, System
from pushcli.migration.ruby_values import Statement
from pushcli.migration.settings_read import Remark
from pushcli.protocol import nesting

_MAX_CERTIFICATES = 16 * 1024 * 1024
"""Characters of all files of certificates together."""


def statements(system: System, path: str, env: Mapping[str, str]) -> list[Statement]:
    """What a Ruby file says.

    Raises:
        ConfigError: it cannot be read.
    """
    text = system.read(path)
    try:
        return ruby_literals.parse(text, file=path, env=env)
    except ruby_literals.NotRuby as error:
        raise ConfigError(
            f"{system.place(path)}: {error}", "is it the right file, and all of it?"
        ) from error


def authorities(system: System, trusted: trust.Trust | None) -> tuple[list[str], list[Remark]]:
    """The certificates that are trusted, as PEM, and remarks.

    Raises:
        ConfigError: a file of them cannot be read.
    """
    if trusted is None:
        return [], []
    files = system.certificate_files(trusted.directory)
    if trusted.file is not None:
        files.append(trusted.file)
    found = trust.certificates(_texts(system, files))
    if not found:
        why = f"there is no certificate in {' or '.join([trusted.directory, *files])}"
        return [], [Remark("note", "ca_file", f"{why}: the system's authorities are trusted")]
    why = "only the certificates from there are trusted, not the system's authorities too"
    return found, [Remark("changed", "ca_file", f"{', '.join(files)}: {why}")]


def _texts(system: System, files: list[str]) -> list[str]:
    """What is in files, which may be many.

    Raises:
        ConfigError: one cannot be read, or they are too large together.
    """
    texts: list[str] = []
    size = 0
    for file in files:
        texts.append(system.read(file))
        size += len(texts[-1])
        if size > _MAX_CERTIFICATES:
            raise ConfigError(
                f"the certificates in {', '.join(files[:3])} ... are larger than "
                f"{_MAX_CERTIFICATES:,} characters",
                "are these the right files?",
            )
    return texts


def json_object(system: System, path: str) -> dict[str, Any]:
    """What a file of JSON says.

    Raises:
        ConfigError: it cannot be read, or is not an object.
    """
    text = system.read(path)
    try:
        nesting.require_bounded(text.encode())
        content = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) or "too deep"
        raise ConfigError(
            f"{system.place(path)} is not JSON that can be read: {reason}", "is it the right file?"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{system.place(path)} is not an object", "is it the right file?")
    return content


def toml_tables(system: System, path: str) -> dict[str, Any]:
    """What a file of TOML says.

    Raises:
        ConfigError: it cannot be read.
    """
    import tomli  # noqa: PLC0415 - for this kind of file alone

    text = system.read(path)
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", "fix it there") from error


class ServerFiles(msgspec.Struct, kw_only=True):
    """What the original server's files say.

    Args:
        ruby: the path of the Ruby file.
    """

    paths: list[str]
    ruby: str = "opscode-push-jobs-server.rb"
    statements: list[Statement] = []
    running: dict[str, Any] = {}
    secrets: dict[str, Any] = {}


def server_files(system: System, paths: list[str], env: Mapping[str, str]) -> ServerFiles:
    """Read them; which one is which their names and contents tell.

    Raises:
        NotFound: there is none.
        ConfigError: one cannot be read, or is none of them.
    """
    if not paths:
        raise NotFound(f"there is none of {', '.join(SERVER)}", "give FILE")
    found = ServerFiles(paths=paths)
    for path in paths:
        if path.endswith(".rb"):
            found.ruby, found.statements = path, statements(system, path, env)
            continue
        content = json_object(system, path)
        if "private_chef" in content:
            found.running = content
        elif {"chef-server", "push-jobs-server", "pushy_priv_key"} & content.keys():
            found.secrets = content
        else:
            raise ConfigError(
                f"{system.place(path)} is none of the server's files",
                "give opscode-push-jobs-server.rb, chef-server-running.json or "
                "private-chef-secrets.json",
            )
    return found
