"""The original's files, read: statements of Ruby, and certificates."""

from collections.abc import Mapping

from pushcli.errors import ConfigError
from pushcli.migration import ruby_literals, trust
from pushcli.migration.finding import System
from pushcli.migration.ruby_values import Statement
from pushcli.migration.settings_read import Remark


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


def authorities(system: System, trusted: trust.Trust) -> tuple[list[str], list[Remark]]:
    """The certificates that are trusted, as PEM, and remarks.

    Raises:
        ConfigError: a file of them cannot be read.
    """
    files = system.certificate_files(trusted.directory)
    if trusted.file is not None:
        files.append(trusted.file)
    found = trust.certificates([system.read(file) for file in files])
    if not found:
        why = f"there is no certificate in {' or '.join([trusted.directory, *files])}"
        return [], [Remark("note", "ca_file", f"{why}: the system's authorities are trusted")]
    why = "only the certificates from there are trusted, not the system's authorities too"
    return found, [Remark("changed", "ca_file", f"{', '.join(files)}: {why}")]
