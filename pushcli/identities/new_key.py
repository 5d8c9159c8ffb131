"""A key pair for somebody: made here, its private half in a file before anybody knows of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pushcli.errors import ConnectionLost, KeyFileError, PushcliError, UsageError


class NewKey(NamedTuple):
    """What is registered; `file` has the private half, None: somebody else has it."""

    public_key: str
    file: Path | None


@contextmanager
def new_key(file: Path, public_key: Path | None = None) -> Iterator[NewKey]:
    """A key to be registered: a new pair in `file`, or the public key that was given.

    If registering it fails, a new pair's file goes. It stays where nobody knows whether the
    server took the key.

    Raises:
        KeyFileError: the file exists already, or holds no public key.
    """
    from pushcli import keys  # noqa: PLC0415 - `--help` need not wait for cryptography

    if public_key is not None:
        yield NewKey(keys.read_public_key(public_key), None)
        return
    pair = keys.generate()
    keys.write_private_key(file, pair)
    try:
        yield NewKey(keys.public_pem(pair), file)
    except ConnectionLost as error:
        error.remedy = f"the server may have registered the new key, which is in {file}"
        raise
    except PushcliError:
        file.unlink(missing_ok=True)
        raise


def key_file(given: Path | None, public_key: Path | None, default: str) -> Path:
    """Where a new pair's private half goes.

    Raises:
        UsageError: no pair is made.
    """
    if given is not None and public_key is not None:
        raise UsageError(
            "--key-file is for a new key, --public-key for one that exists", "give one of the two"
        )
    # A colon, which names may have, means something else to scp and on other systems.
    return given or Path(default.replace(":", "_"))


def fingerprint(pem: object) -> str:
    """`SHA256:...` of a public key in PEM; empty for what is none."""
    from pushcli import keys  # noqa: PLC0415

    if not isinstance(pem, str):
        return ""
    try:
        return keys.fingerprint(keys.load_public_key(pem))
    except KeyFileError:
        return ""
