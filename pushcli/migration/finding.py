"""Where the original's files lie, and reading them within bounds."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pushcli.errors import ConfigError, NotFound

MAX_SIZE = 4 * 1024 * 1024
"""Bytes of a file."""
_MAX_CERTIFICATES = 1000
"""Files in a directory of certificates."""
AGENT = (
    "/etc/chef/chef-push-client.rb",
    "/etc/chef/push-jobs-client.rb",
    "/etc/chef/client.rb",
)
"""The first of them that is there is what the original reads."""
SERVER = (
    "/etc/opscode-push-jobs-server/opscode-push-jobs-server.rb",
    "/etc/opscode/chef-server-running.json",
    "/etc/opscode/private-chef-secrets.json",
    "/etc/opscode-push-jobs-server/opscode-push-jobs-server-secrets.json",
)
"""The original server reads what is there of these."""


class System:
    """The files of a system: this one, or the one below a directory.

    Args:
        root: the directory in which its `/` lies.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def place(self, path: str) -> Path:
        """Where the system's file of this path lies.

        Raises:
            ConfigError: no path has such characters.
        """
        if "\0" in path:
            raise ConfigError(f"{path!r} is not a path", "fix it there")
        return Path(path) if self._root is None else self._root / path.lstrip("/")

    def first(self, paths: Iterable[str]) -> str:
        """The first that is there.

        Raises:
            NotFound: none is.
        """
        paths = tuple(paths)
        for path in self.there(paths):
            return path
        raise NotFound(f"there is none of {', '.join(paths)}", "give FILE")

    def there(self, paths: Iterable[str]) -> Iterator[str]:
        """Those that are there."""
        for path in paths:
            try:
                self.place(path).stat()
            except FileNotFoundError:
                continue
            except OSError:
                # Reading it tells why.
                pass
            yield path

    def read(self, path: str) -> str:
        """The text of a file.

        Raises:
            ConfigError: it is not there, cannot be read, is not text, or is too large.
        """
        return read(self.place(path))

    def certificate_files(self, directory: str) -> list[str]:
        """Paths of the certificates in a directory, which need not be there.

        Raises:
            ConfigError: it cannot be read.
        """
        place = self.place(directory)
        try:
            found = sorted(os.listdir(place))  # noqa: PTH208 - their names
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _unreadable(place, error) from error
        named = [name for name in found if name.endswith((".crt", ".pem"))]
        if len(named) > _MAX_CERTIFICATES:
            raise ConfigError(f"{place} has more than {_MAX_CERTIFICATES:,} files", "is it right?")
        return [f"{directory.rstrip('/')}/{name}" for name in named]


def read(file: Path) -> str:
    """The text of a file.

    Raises:
        ConfigError: it is not there, cannot be read, is not text, or is too large.
    """
    # A pipe must not hold us up.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        with os.fdopen(os.open(file, flags), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise ConfigError(f"{file} is not a regular file", "give a file")
            data = opened.read(MAX_SIZE + 1)
    except OSError as error:
        raise _unreadable(file, error) from error
    if len(data) > MAX_SIZE:
        raise ConfigError(f"{file} is larger than {MAX_SIZE:,} bytes", "is it the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}, line {line}: not UTF-8", "save it as UTF-8") from error
    if "\0" in text:
        raise ConfigError(f"{file} is not a text file", "is it the right file?")
    return text


def _unreadable(file: Path, error: OSError) -> ConfigError:
    remedy = "check the path and its permissions"
    return ConfigError(f"cannot read {file}: {error.strerror}", remedy)
