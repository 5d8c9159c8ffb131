"""Names that travel: nodes, users, clients, organizations, jobs."""

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest

_NODE = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_ORGANIZATION = re.compile(r"[a-z0-9][a-z0-9_-]{0,254}")
_NUMBER = re.compile(r"([0-9]+)")
_RESERVED = frozenset(
    {
        "admin", "administrator", "admins", "billing-admins", "clients", "pivotal",
        "pushy_job_readers", "pushy_job_writers", "root", "server", "superuser", "users",
        "validator",
    }
)  # fmt: skip
_VALIDATOR = "-validator"
_JOB_ID = re.compile(r"[0-9a-f]{32}")
LAST_JOB = "@last"
"""Names the job that somebody started last, to our command line."""
_JOB_ID_PREFIX = re.compile(r"[0-9a-f]{4,31}")


def is_node_name(name: str) -> bool:
    """Whether a node, client or user may be called so; names end up in paths."""
    return _NODE.fullmatch(name) is not None and name not in {".", ".."}


def is_reserved(name: str) -> bool:
    """Whether a node may not register itself so: somebody else is known by such a name.

    Case makes no difference, people read over it.
    """
    lower = name.lower()
    return lower in _RESERVED or lower.endswith(_VALIDATOR)


def is_organization_name(name: str) -> bool:
    """Whether an organization may be called so (Chef's rule: lower case)."""
    return _ORGANIZATION.fullmatch(name) is not None


def is_job_id(text: str) -> bool:
    """Whether this is a job's id: 32 lower-case hex digits."""
    return _JOB_ID.fullmatch(text) is not None


def is_job_id_prefix(text: str) -> bool:
    """Whether this is the beginning of a job's id, and long enough to name the job by it."""
    return _JOB_ID_PREFIX.fullmatch(text) is not None


def is_query(text: str) -> bool:
    """Whether this is meant as a search for nodes, where a name or a set could stand, too."""
    return any(character in text for character in ": ")


NumberKey = tuple[tuple[str | tuple[int, str], ...], str]
"""What `by_number` makes of a name."""


def by_number(name: str) -> NumberKey:
    """What to sort names by: `web9` before `web10`.

    Numbers are compared as digits, since a peer may send any number of them.
    """
    parts = _NUMBER.split(name)
    digits = [part.lstrip("0") for part in parts[1::2]]
    numbers = ((len(number), number) for number in digits)
    return tuple(_interleaved(parts[::2], numbers)), name


def _interleaved(
    texts: Iterable[str], numbers: Iterable[tuple[int, str]]
) -> Iterator[str | tuple[int, str]]:
    for text, number in zip_longest(texts, numbers):
        yield text
        if number is not None:
            yield number
