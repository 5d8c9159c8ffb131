"""The Chef Infra Server proves itself before it is asked anything."""

import shutil
import ssl
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ORG
from tests.support import certificates
from tests.support.beside_chef import BesideChef
from tests.support.certificates import Certificate
from tests.support.chef_server import ChefServer, chef_server
from tests.support.identities import KEYS, operator
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
SUPERUSER_KEY = KEYS[3]
OTHER_PIN = "SHA256:" + "AB" * 32


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    directory = tmp_path_factory.mktemp("tls") / "certificate"
    return certificates.self_signed(directory, ["127.0.0.1"])


def lets_in(directory: Path, chef: ChefServer, **settings: str) -> bool:
    """Whether the operator is let in, and Chef was asked for it; else nothing reached Chef."""
    with BesideChef(directory, chef, SUPERUSER_KEY, **settings) as fleet:
        answer = operator(fleet)("GET", "pushy/jobs")
        if answer.status == 200:
            assert chef.asked[f"/organizations/{ORG}/principals/operator"] == 1
            return True
        # Of what nobody mends by trying again.
        assert answer.status == 502, answer
        assert "retry-after" not in answer.headers
        [said] = answer.error
        assert f"cannot reach {chef.url}: its certificate" in said
        assert ("pin" if "chef_fingerprint" in settings else "give chef_ca_file or") in said
        assert said.count("\n") == 0
        # The same, and as quickly, for who asks while it is not asked again.
        assert operator(fleet)("GET", "pushy/jobs").error == answer.error
        file, cause = (
            fleet.log("server"),
            said.removeprefix("the Chef Infra Server cannot be used: "),
        )
        until(lambda: cause in file.read_text(), "the log has it")
        assert "Traceback" not in file.read_text()
        assert not chef.asked
    return False


def test_a_file_of_its_authorities_proves_it(tmp_path: Path, certificate: Certificate) -> None:
    with chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef:
        assert lets_in(tmp_path, chef, chef_ca_file=str(certificate.file))


def test_its_fingerprint_proves_it(tmp_path: Path, certificate: Certificate) -> None:
    with chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef:
        assert lets_in(tmp_path, chef, chef_fingerprint=certificate.fingerprint)
        assert chef.tools == {"16.12.3"}


def test_it_is_asked_as_the_version_that_it_wants(tmp_path: Path) -> None:
    with chef_server(SUPERUSER_KEY.public_key()) as chef:
        assert lets_in(tmp_path, chef, chef_api_version="11.1.0")
        assert chef.tools == {"11.1.0"}


def test_whom_nobody_vouches_for_is_asked_nothing(tmp_path: Path, certificate: Certificate) -> None:
    with chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef:
        assert not lets_in(tmp_path, chef)


def test_whom_another_authority_vouches_for_is_asked_nothing(
    tmp_path: Path, certificate: Certificate
) -> None:
    other = certificates.self_signed(tmp_path / "other", ["127.0.0.1"])
    with chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef:
        assert not lets_in(tmp_path, chef, chef_ca_file=str(other.file))


def test_another_than_the_pinned_one_is_asked_nothing(
    tmp_path: Path, certificate: Certificate
) -> None:
    with chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef:
        assert not lets_in(tmp_path, chef, chef_fingerprint=OTHER_PIN)


def test_one_with_the_certificate_of_another_name_is_asked_nothing(tmp_path: Path) -> None:
    elsewhere = certificates.self_signed(tmp_path / "elsewhere", ["chef.example.com"])
    with chef_server(SUPERUSER_KEY.public_key(), elsewhere.context) as chef:
        assert not lets_in(tmp_path, chef, chef_ca_file=str(elsewhere.file))


def test_nothing_is_sent_where_a_redirect_leads(tmp_path: Path, certificate: Certificate) -> None:
    with (
        chef_server(SUPERUSER_KEY.public_key()) as other,
        chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef,
    ):
        chef.redirects_to = f"{other.url}/organizations/{ORG}/principals/operator"
        ca = str(certificate.file)
        with BesideChef(tmp_path, chef, SUPERUSER_KEY, chef_ca_file=ca) as fleet:
            other.keys, other.groups = chef.keys, chef.groups
            chef.fault = "redirect"
            answer = operator(fleet)("GET", "pushy/jobs")
            assert (answer.status, "redirects" in answer.error[0]) == (502, True)
            assert not other.asked


def test_who_was_known_looks_on_while_a_new_certificate_is_not_trusted(
    tmp_path: Path, certificate: Certificate
) -> None:
    new = certificates.self_signed(tmp_path / "new", ["127.0.0.1"])
    files = certificate.file, certificate.file.with_name("key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    with chef_server(SUPERUSER_KEY.public_key(), context) as chef:
        pin = certificate.fingerprint
        with BesideChef(tmp_path, chef, SUPERUSER_KEY, chef_fingerprint=pin, chef_cache=1) as fleet:
            ann = operator(fleet)
            assert ann("GET", "pushy/jobs").status == 200
            context.load_cert_chain(new.file, new.file.with_name("key.pem"))
            chef.hang_up()
            job = {"command": "true", "nodes": ["n1"]}
            until(lambda: ann("POST", "pushy/jobs", job).status == 502, "it is not trusted")
            asked = chef.asked.total()
            assert ann("GET", "pushy/jobs").status == 200
            assert chef.asked.total() == asked


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("no CA file", "cannot use the CA file"),
        ("no CA in the file", "cannot use the CA file"),
        ("unreadable CA file", "cannot use the CA file"),
        ("no key", "cannot read the key"),
        ("no key in the file", "no readable private key"),
        ("a key for everybody", "readable by others"),
    ],
)
def test_without_what_proves_it_or_us_no_server_starts(
    tmp_path: Path, certificate: Certificate, spoil: str, words: str
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(certificate.file.read_bytes())
    with chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef:
        fleet = BesideChef(tmp_path, chef, SUPERUSER_KEY, chef_ca_file=str(ca))
        fleet.make_server()
        match spoil:
            case "no CA file":
                ca.unlink()
            case "no CA in the file":
                ca.write_text("nothing\n")
            case "unreadable CA file":
                ca.unlink()
                ca.mkdir()
            case "no key":
                fleet.chef_key.unlink()
            case "no key in the file":
                fleet.chef_key.write_text("nothing\n")
            case _:
                fleet.chef_key.chmod(0o644)
        ran = fleet.cli("server", "start", "--dir", str(fleet.server_directory))
        fleet.stop()
        assert ran.returncode == ExitStatus.CONFIG
        assert words in ran.stderr
        assert str(ca if "CA" in spoil else fleet.chef_key) in ran.stderr
        assert ran.stderr.count("\n") == 1
        assert not chef.asked


def test_the_file_is_looked_for_in_the_servers_directory(
    tmp_path: Path, certificate: Certificate
) -> None:
    with chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef:
        fleet = BesideChef(tmp_path, chef, SUPERUSER_KEY, chef_ca_file="chef.crt")
        try:
            fleet.make_server()
            shutil.copy(certificate.file, fleet.server_directory / "chef.crt")
            fleet.start_server()
            assert operator(fleet)("GET", "pushy/jobs").status == 200
        finally:
            fleet.stop()
