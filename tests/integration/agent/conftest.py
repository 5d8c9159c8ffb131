"""Keys that are made once, and a scripted server for each test that wants one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from tests.support.scripted_server import ScriptedServer, scripted_server


@pytest.fixture(scope="session")
def server_key() -> RSAPrivateKey:
    """Signs the server's heartbeats."""
    return keys.generate()


@pytest.fixture(scope="session")
def node_key() -> RSAPrivateKey:
    """The node's own."""
    return keys.generate()


@pytest.fixture
def server(server_key: RSAPrivateKey, node_key: RSAPrivateKey) -> Iterator[ScriptedServer]:
    """A server that offers all extensions."""
    with scripted_server(server_key, node_key.public_key()) as running:
        yield running


@pytest.fixture
def key_file(tmp_path: Path, node_key: RSAPrivateKey) -> Path:
    """The node's key in a file."""
    path = tmp_path / "client.pem"
    keys.write_private_key(path, node_key)
    return path
