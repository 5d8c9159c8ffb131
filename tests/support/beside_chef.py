"""A fleet whose users, clients and groups are on a Chef Infra Server."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.client.credentials import add_profile
from pushcli.sandbox.sandbox import ADMIN, ORG
from tests.support.chef_server import SUPERUSER, ChefServer
from tests.support.fleet import SlowFleet
from tests.support.identities import Signer

WHITELIST = {"true": "true", "sleep": "sleep 3; echo done"}


class BesideChef(SlowFleet):
    """A server of ours beside a Chef Infra Server, on which its operator is an administrator."""

    whitelist: Mapping[str, Any] = WHITELIST
    """Of each node."""

    def __init__(
        self, directory: Path, chef: ChefServer, superuser_key: RSAPrivateKey, **settings: Any
    ) -> None:
        self.chef = chef
        self.trust: dict[str, str] = {}
        """What proves the certificate at the URL, in profiles and in `agent.toml`."""
        self.chef_key = directory / f"{SUPERUSER}.pem"
        if not self.chef_key.exists():
            keys.write_private_key(self.chef_key, superuser_key)
        own = {
            "identity": "chef", "chef_server_url": chef.url, "chef_key": str(self.chef_key),
            **settings,
        }  # fmt: skip
        super().__init__(directory, [], whitelist=self.whitelist, settings=own)

    def make_server(self) -> None:
        """By `pushcli server init`, with nobody in it."""
        self._settings |= self.new_database()
        sets = [f"--set={value}" for value in self.values()]
        self._check(["server", "init", "--dir", str(self.server_directory), *sets])
        key = keys.generate()
        file = self.directory / "ann.pem"
        keys.write_private_key(file, key)
        self.chef.keys[ORG, "user", ADMIN] = [keys.public_pem(key)]
        self.chef.groups[ORG, "admins"] = {"users": [ADMIN]}
        profile = {"client_name": ADMIN, "client_key": str(file), "chef_server_url": self.url}
        profile |= self.trust
        assert add_profile(self.credentials, "sandbox", profile)

    def enroll_node(self, node: str) -> None:
        """As chef-client does it, there; the agent finds a key."""
        directory = self.agent_directory(node)
        directory.mkdir(parents=True, mode=0o700)
        key = keys.generate()
        keys.write_private_key(directory / "client.pem", key)
        self.chef.keys[ORG, "client", node] = [keys.public_pem(key)]
        (directory / "agent.toml").write_text(
            f'chef_server_url = "{self.url}"\nnode_name = "{node}"\nclient_key = "client.pem"\n'
            + "".join(f'{name} = "{value}"\n' for name, value in self.trust.items())
        )

    def user(self, name: str, key: RSAPrivateKey, *, org: str = ORG) -> Signer:
        """A user there; of no organization if it is empty."""
        self.chef.keys[org, "user", name] = [keys.public_pem(key)]
        return Signer(self, name, key)

    def client(self, name: str, key: RSAPrivateKey) -> Signer:
        """A client there."""
        self.chef.keys[ORG, "client", name] = [keys.public_pem(key)]
        return Signer(self, name, key)
