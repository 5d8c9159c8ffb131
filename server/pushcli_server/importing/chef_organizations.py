"""Which organization of a Chef Infra Server has which id; the original's database has ids alone."""

from typing import Any, Protocol

from pushcli.errors import NotFound
from pushcli.protocol import names

MAX = 10_000
"""Organizations that are asked about."""


class Api(Protocol):
    """Asks a Chef Infra Server."""

    def get(self, path: str) -> Any:
        """JSON; a path that begins with `/` is outside of all organizations."""
        ...


def names_by_id(api: Api) -> dict[str, str]:
    """The names of all that it has, by their ids (32 hex digits).

    Raises:
        PushcliError: it does not answer, or refuses.
    """
    listed = api.get("/organizations")
    found: dict[str, str] = {}
    for name in list(listed)[:MAX] if isinstance(listed, dict) else []:
        if not names.is_organization_name(name):
            continue
        try:
            told = api.get(f"/organizations/{name}")
        except NotFound:
            continue
        guid = told.get("guid") if isinstance(told, dict) else None
        if isinstance(guid, str) and names.is_job_id(guid):
            found[guid] = name
    return found
