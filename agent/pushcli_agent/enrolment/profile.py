"""The node as a signer of requests: what agent.toml holds, as a profile."""

from pathlib import Path

from pushcli.client.credentials import Profile
from pushcli_agent import config


def load(file: Path) -> Profile:
    """The node's own client, with its key.

    Raises:
        ConfigError: agent.toml is missing or wrong.
    """
    settings = config.load(file, config.Overrides())
    return Profile(
        name="agent",
        chef_server_url=settings.server_urls[0],
        other_urls=settings.server_urls[1:],
        client_name=settings.node_name,
        client_key=settings.client_key,
        ca_file=Path(settings.ca_file) if settings.ca_file else None,
        fingerprint=settings.fingerprint,
        signing_version=settings.signing_version,
        identity_remedy=f"check node_name and client_key in {file}",
        trust_remedy=f"set ca_file or fingerprint in {file}",
    )
