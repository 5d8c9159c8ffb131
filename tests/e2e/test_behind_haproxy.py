"""Behind a real HAProxy, as docs/operations.md says, with Chef beside the server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import free_ports
from tests.support import behind_proxy
from tests.support.behind_proxy import BehindProxy, refused
from tests.support.chef_server import chef_server
from tests.support.identities import KEYS
from tests.support.proxies import Certificate, haproxy, needs_haproxy, replaced, snippet

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow, needs_haproxy]
KEY = KEYS[3]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BehindProxy]:
    directory = tmp_path_factory.mktemp("haproxy")
    certificate = Certificate(directory)
    with chef_server(KEY.public_key()) as chef:
        fleet = BehindProxy(
            directory, chef, KEY, port=free_ports(1)[0], certificate=certificate,
            trusted_proxies=["127.0.0.1", "::1"],
        )  # fmt: skip
        changes = {
            "bind :443": f"bind 127.0.0.1:{fleet.port}",
            "/etc/haproxy/push.example.com.pem": str(certificate.both),
            "10003": str(fleet.ports[0]),
            # The tests' Chef speaks no TLS.
            "8443 ssl verify required ca-file /etc/haproxy/chef.pem": str(chef.port),
        }
        config = replaced(snippet("HAProxy", "haproxy"), changes)
        with haproxy(directory / "haproxy", config, fleet.port), fleet:
            yield fleet


def test_the_address_of_a_job_and_the_origin_of_a_change(fleet: BehindProxy) -> None:
    behind_proxy.check_uri(fleet)


@pytest.mark.parametrize("version", ["1.1", "1.3"])
def test_paths_are_handed_on_as_they_were_signed(fleet: BehindProxy, version: str) -> None:
    behind_proxy.check_paths(fleet, version)


def test_output_is_there_while_a_job_runs(fleet: BehindProxy, tmp_path: Path) -> None:
    behind_proxy.check_live_output(fleet, tmp_path / "mark")


def test_ctrl_c_aborts(fleet: BehindProxy) -> None:
    behind_proxy.check_abort(fleet)


def test_many_readers_at_once(fleet: BehindProxy) -> None:
    behind_proxy.check_many_readers(fleet)


def test_connections_are_kept(fleet: BehindProxy) -> None:
    behind_proxy.check_kept_connections(fleet)


def test_long_headers_and_large_bodies(fleet: BehindProxy) -> None:
    behind_proxy.check_sizes(fleet)


def test_all_else_goes_to_chef(fleet: BehindProxy) -> None:
    before = fleet.chef.asked.total()
    assert fleet.raw(path="groups/admins", X_Chef_Version="16.12.3").status == 200
    assert fleet.chef.asked.total() == before + 1


def test_a_server_that_is_down_is_one_line(fleet: BehindProxy) -> None:
    fleet.end_server()
    status, said = refused(fleet, "node", "status")
    assert status == ExitStatus.ERROR
    assert "a proxy before the server cannot reach it (503)" in said
