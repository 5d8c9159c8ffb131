"""A fleet whose users, clients and groups are on a Chef Infra Server.

A server is a copy of one that `pushcli server init` made, once in a process of tests, and the keys
of operators and nodes are made once, too. Where tests need no server of their own, each has an
organization of its own on one: nothing is remembered of that, and it has no nodes.
"""

import atexit
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.client.credentials import add_profile
from pushcli.sandbox.sandbox import ADMIN, ORG, Sandbox
from tests.support.chef_server import SUPERUSER, ChefServer, chef_server
from tests.support.fleet import SlowFleet
from tests.support.identities import KEYS, Signer

SUPERUSER_KEY = KEYS[3]
WHITELIST = {"true": "true", "sleep": "sleep 3; echo done"}
_numbers = itertools.count(1)


class BesideChef(SlowFleet):
    """A server of ours beside a Chef Infra Server, on which its operator is an administrator."""

    whitelist: Mapping[str, Any] = WHITELIST
    """Of each node."""
    org = ORG
    """The organization that all of it is about."""

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
        """As `pushcli server init` does, with nobody in it."""
        self.copy_server(_first())
        self.add_operator()

    def add_operator(self) -> None:
        """An administrator there, with a profile here."""
        key = _key_of(ADMIN)
        file = self.directory / "ann.pem"
        keys.write_private_key(file, key)
        self.chef.keys[self.org, "user", ADMIN] = [keys.public_pem(key)]
        self.chef.groups[self.org, "admins"] = {"users": [ADMIN]}
        profile = {"client_name": ADMIN, "client_key": str(file), "chef_server_url": self.url}
        profile |= self.trust
        assert add_profile(self.credentials, "sandbox", profile)

    def enroll_node(self, node: str) -> None:
        """As chef-client does it, there; the agent finds a key."""
        directory = self.agent_directory(node)
        directory.mkdir(parents=True, mode=0o700)
        key = _key_of(node)
        keys.write_private_key(directory / "client.pem", key)
        self.chef.keys[self.org, "client", node] = [keys.public_pem(key)]
        (directory / "agent.toml").write_text(
            f'chef_server_url = "{self.url}"\nnode_name = "{node}"\nclient_key = "client.pem"\n'
            + "".join(f'{name} = "{value}"\n' for name, value in self.trust.items())
        )

    def user(self, name: str, key: RSAPrivateKey, *, org: str | None = None) -> Signer:
        """A user there; of no organization if it is empty, of the fleet's if none is given."""
        self.chef.keys[self.org if org is None else org, "user", name] = [keys.public_pem(key)]
        return Signer(self, name, key)

    def client(self, name: str, key: RSAPrivateKey) -> Signer:
        """A client there."""
        self.chef.keys[self.org, "client", name] = [keys.public_pem(key)]
        return Signer(self, name, key)

    def asked(self) -> "Counter[str]":
        """What Chef was asked of the organization, by path."""
        asked = list(self.chef.asked.items())
        return Counter({path: n for path, n in asked if self.org in path.split("/")})

    def told(self) -> str:
        """What the server's log says of the organization."""
        lines = self.log("server").read_text().splitlines(keepends=True)
        return "".join(line for line in lines if self.org in line)


class Tenant(BesideChef):
    """An organization, its operator and its agents on a server that others use, too.

    Args:
        directory: of its own.
        host: whose server it is; it runs.
    """

    def __init__(self, directory: Path, host: BesideChef) -> None:
        # Another's name is part of none.
        self.org = f"tenant-{next(_numbers)}-of-many"
        self._host = host
        superuser_key = keys.load_private_key(host.chef_key)
        super().__init__(directory, host.chef, superuser_key)
        self.ports = host.ports

    @property
    def url(self) -> str:
        """The server's, with this organization."""
        return f"{self._host.url.rpartition('/')[0]}/{self.org}"

    @property
    def server_directory(self) -> Path:
        """Of all."""
        return self._host.server_directory

    def make_server(self) -> None:
        """Make the organization."""
        self.chef.reset()
        self.chef.asked.clear()
        self.chef.organizations.add(self.org)
        self.add_operator()

    def start_server(self) -> None:
        """It runs."""

    def log(self, name: str) -> Path:
        """The server's is that of all."""
        return self._host.log(name) if name == "server" else super().log(name)

    def pid(self, name: str) -> int:
        """The server's is that of all."""
        return self._host.pid(name) if name == "server" else super().pid(name)

    def stop(self) -> None:
        """End its agents; the organization is not there any more."""
        super().stop()
        self.chef.organizations.discard(self.org)
        self.chef.reset()
        unexpected, self.chef.unexpected = self.chef.unexpected, []
        assert unexpected == []


@contextmanager
def beside_chef(directory: Path, **settings: Any) -> Iterator[BesideChef]:
    """A server that runs, with a Chef Infra Server of its own."""
    with (
        chef_server(SUPERUSER_KEY.public_key()) as chef,
        BesideChef(directory, chef, SUPERUSER_KEY, **settings) as fleet,
    ):
        yield fleet


@cache
def _key_of(name: str) -> RSAPrivateKey:
    """Of all that have this name, in whatever fleet."""
    return keys.generate()


@cache
def _first() -> Sandbox:
    """The one that is copied; it never runs."""
    place = Path(tempfile.mkdtemp(prefix="pushcli-tests-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    own = {
        "identity": "chef", "chef_server_url": "http://127.0.0.1:1", "chef_key": "nobody's.pem",
    }  # fmt: skip
    first = _Bare(place, [], settings=own)
    atexit.register(first.stop)
    first.make_server()
    return first


class _Bare(SlowFleet):
    """A server beside a Chef Infra Server that nobody has an account on."""

    def make_server(self) -> None:
        """By `pushcli server init`, with nobody in it."""
        self._settings |= self.new_database()
        sets = [f"--set={value}" for value in self.values()]
        self._check(["server", "init", "--dir", str(self.server_directory), *sets])
