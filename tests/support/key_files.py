"""Keys of tests: making one, or reading it with its check, costs more than most of a test does."""

import itertools
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPrivateNumbers

from pushcli import keys

_ENOUGH = 8


def read(path: Path) -> RSAPrivateKey:
    """The private key in a file, which is read again once it is another file."""
    found = path.stat()
    return _read(path, (found.st_ino, found.st_mtime_ns, found.st_size))


@lru_cache(maxsize=64)
def _read(path: Path, _version: tuple[int, int, int]) -> RSAPrivateKey:
    return keys.load_private_key(path)


def _in_turn() -> Iterator[RSAPrivateKey]:
    made = []
    for _ in range(_ENOUGH):
        made.append(keys.generate())
        yield made[-1]
    yield from itertools.cycle(made)


_keys = _in_turn()


def another() -> RSAPrivateKey:
    """A key that is not one of the last few; with time it comes again."""
    return next(_keys)


def damaged_key() -> RSAPrivateKey:
    """One of whose numbers another one's has come, as only a proof finds out."""
    numbers, others = (keys.generate().private_numbers() for _ in range(2))
    damaged = RSAPrivateNumbers(
        p=numbers.p, q=numbers.q, d=numbers.d, dmp1=others.dmp1, dmq1=numbers.dmq1,
        iqmp=numbers.iqmp, public_numbers=numbers.public_numbers,
    )  # fmt: skip
    return damaged.private_key(unsafe_skip_rsa_key_validation=True)
