"""A key for all tests, and a server for each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.client.limits import Limits
from tests.integration.pushcli import api_server
from tests.integration.pushcli.api_server import ApiServer
from tests.support import certificates
from tests.support.certificates import Certificate
from tests.support.waiting import patient

Connect = Callable[..., ApiClient]


@pytest.fixture(scope="session")
def key() -> RSAPrivateKey:
    """The user's."""
    return keys.generate()


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """Plain HTTP on loopback."""
    with api_server.running() as running:
        yield running


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """For 127.0.0.1 and push.example.com."""
    return certificates.self_signed(tmp_path / "tls", ["127.0.0.1", "push.example.com"])


@pytest.fixture
def profile(key: RSAPrivateKey) -> Callable[..., Profile]:
    """Makes profiles of the user `ann`."""

    def make(url: str, **more: object) -> Profile:
        values = {"client_name": "ann", "client_key": keys.private_pem(key).decode(), **more}
        return Profile(name="default", chef_server_url=url, **values)  # type: ignore[arg-type]

    return make


@pytest.fixture
def connect(profile: Callable[..., Profile]) -> Iterator[Connect]:
    """Makes clients of the user `ann`, and closes them."""
    clients: list[ApiClient] = []

    def make(url: str, *, timeout: float = patient(10), **more: object) -> ApiClient:
        client = ApiClient(profile(url, **more), limits=Limits(silence=timeout))
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
