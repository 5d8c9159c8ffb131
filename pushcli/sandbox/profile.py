"""The profile `sandbox` in the operator's credentials, for as long as a sandbox lives."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pushcli.client.credentials import Profile, add_profile
from pushcli.errors import ConfigError

NAME = "sandbox"


@contextmanager
def lent_profile(credentials: Path, profile: Profile) -> Iterator[None]:
    """Add the profile, and take away at the end what was added, and nothing else.

    Raises:
        ConfigError: there is a profile of this name.
    """
    before = credentials.read_bytes() if credentials.exists() else None
    values = {
        "client_name": profile.client_name,
        "client_key": profile.client_key,
        "chef_server_url": profile.chef_server_url,
    }
    if profile.fingerprint:
        values["fingerprint"] = profile.fingerprint
    if not add_profile(credentials, NAME, values):
        raise ConfigError(
            f"{credentials} already has a profile {NAME!r}",
            "end the other sandbox, or remove that profile",
        )
    added = credentials.read_bytes()[len(before or b"") :]
    try:
        yield
    finally:
        _remove(credentials, added)


def _remove(credentials: Path, added: bytes) -> None:
    if not credentials.exists():
        return
    content = credentials.read_bytes()
    rest = content.replace(added, b"", 1)
    if not rest:
        credentials.unlink()
    elif rest != content:
        credentials.write_bytes(rest)
