from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Home
from tests.integration.cli.responder import Responder, running_responder
from tests.support.fleet import Fleet


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key that only its owner can read."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path_factory.mktemp("keys") / "admin.pem"
    path.touch(0o600)
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return path


@pytest.fixture
def operator(fleet: Sandbox) -> Home:
    """The home of the fleet's operator."""
    return Home(fleet.credentials.parent.parent)


@pytest.fixture
def idle(fleet: Sandbox) -> Iterator[None]:
    """What a test leaves running keeps no other one's nodes busy."""
    yield
    for job in fleet.api.jobs():
        if job["status"] in {"voting", "running"}:
            fleet.api.abort_job(job["id"])
    fleet.wait_available(["web01", "web02"])


@pytest.fixture
def responder() -> Iterator[Responder]:
    """A server that says what the test tells it to."""
    with running_responder() as responder:
        yield responder


@pytest.fixture
def home(tmp_path: Path, key_file: Path, responder: Responder) -> Home:
    """A home whose default profile leads to the responder."""
    home = Home(tmp_path)
    home.write_profile(responder.url, key_file)
    return home


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A real server without agents, and its operators."""
    directory = tmp_path_factory.mktemp("server")
    with Fleet(directory, [], settings={"heartbeat_interval": 250}) as fleet:
        yield Operated(fleet)
