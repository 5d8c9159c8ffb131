"""Names that travel: nodes, users, clients, organizations, jobs."""

import re

_NODE = re.compile(r"[A-Za-z0-9_.:-]{1,255}")
_ORGANIZATION = re.compile(r"[a-z0-9][a-z0-9_-]{0,254}")
_RESERVED = frozenset(
    {
        "admin", "administrator", "admins", "billing-admins", "clients", "pivotal",
        "pushy_job_readers", "pushy_job_writers", "root", "server", "superuser", "users",
        "validator",
    }
)  # fmt: skip
_VALIDATOR = "-validator"
_JOB_ID = re.compile(r"[0-9a-f]{32}")


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


def is_query(text: str) -> bool:
    """Whether this is meant as a search for nodes, where a name could stand, too."""
    return any(character in text for character in ":* ")
