"""Behind a real nginx: Chef's own, and a plain one, as docs/operations.md says."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ORG, free_ports
from tests.support import behind_proxy
from tests.support.behind_proxy import NODE, BehindProxy, refused, wait_for_log
from tests.support.chef_server import chef_server
from tests.support.identities import KEYS
from tests.support.proxies import Certificate, needs_nginx, nginx, replaced, snippet
from tests.support.raw_http import Raw

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow, needs_nginx]
KEY = KEYS[3]
PROXIES = ["127.0.0.1", "::1"]
"""As in the document's example."""
LEFT_UPSTREAM = "upstream opscode_pushy {{ server 127.0.0.1:{port}; }}"
LEFT_EXTERNAL = """
location ~ "^/pushy/_status/?$" {
    types { }
    default_type application/json;
    proxy_pass http://opscode_pushy;
}
location ~ "^/organizations/[a-z0-9-_]+?/pushy/{0,1}" {
    proxy_pass http://opscode_pushy;
}
"""
"""What the original Push Jobs server leaves in Chef's nginx."""
WELCOME = "<html>the welcome page</html>"
ROUTING = """
    upstream opscode_erchef {{ server 127.0.0.1:{chef}; }}
    {upstream}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        root {root};
        client_max_body_size 250m;
        proxy_set_header Host $http_host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_send_timeout 300;
        proxy_read_timeout 300;
        error_page 404 =404 /404.html;
        error_page 503 =503 /503.json;
        location ~ "^/[0-9]{{3,3}}\\.(json|html)|favicon.ico|index.html$" {{
        }}
        {external}
        location / {{
            if ($http_x_chef_version = "") {{
                rewrite ^ /index.html last;
            }}
            proxy_pass http://opscode_erchef;
        }}
    }}
"""


def of_chef(fleet: BehindProxy, certificate: Certificate, *, as_left: bool) -> str:
    """Chef's configuration, in which the routing is ours or what the original left there."""
    port = str(fleet.ports[0])
    if as_left:
        upstream, external = LEFT_UPSTREAM.format(port=port), LEFT_EXTERNAL
    else:
        upstream = replaced(snippet("Chef's own nginx", "nginx"), {"10003": port})
        external = snippet("Chef's own nginx", "nginx", 1)
    root = fleet.directory / "html"
    root.mkdir()
    (root / "index.html").write_text(WELCOME)
    return ROUTING.format(
        chef=fleet.chef.port, port=fleet.port, upstream=upstream, external=external, root=root,
        certificate=certificate.certificate, key=certificate.key,
    )  # fmt: skip


def plain(fleet: BehindProxy, certificate: Certificate) -> str:
    """The example of an nginx that has nothing else to do."""
    changes = {
        "10003": str(fleet.ports[0]),
        "listen 443": f"listen 127.0.0.1:{fleet.port}",
        "/etc/ssl/push.example.com.pem": str(certificate.certificate),
        "/etc/ssl/push.example.com.key": str(certificate.key),
    }
    return replaced(snippet("nginx", "nginx"), changes)


@contextmanager
def made(
    directory: Path, *, trusted: list[str] = PROXIES, with_chef: bool = True
) -> Iterator[tuple[BehindProxy, Certificate]]:
    """A fleet that was not started yet, and whose server finds Chef there or elsewhere."""
    certificate = Certificate(directory)
    with chef_server(KEY.public_key()) as chef:
        elsewhere = {} if with_chef else {"chef_server_url": chef.url, "chef_fingerprint": ""}
        fleet = BehindProxy(
            directory, chef, KEY, port=free_ports(1)[0], certificate=certificate,
            trusted_proxies=trusted, **elsewhere,
        )  # fmt: skip
        yield fleet, certificate


@pytest.fixture(scope="module", params=["as documented", "as the original left it"])
def fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BehindProxy]:
    with made(tmp_path_factory.mktemp("nginx")) as (fleet, certificate):
        config = of_chef(fleet, certificate, as_left="original" in request.param)
        with nginx(fleet.directory / "nginx", config, fleet.port), fleet:
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


def test_all_else_goes_to_chef_if_it_is_asked_as_chef_is(fleet: BehindProxy) -> None:
    raw = fleet.raw
    assert raw(path="clients").body.decode() == WELCOME
    assert raw("POST", "clients", {}).status == 405
    # Our command line asks as Chef's do.
    before = fleet.chef.asked.total()
    assert raw(path="groups/admins", X_Chef_Version="16.12.3").status == 200
    assert fleet.chef.asked.total() == before + 1
    assert raw(path="/pushy/_status").status == 200


def test_a_plain_nginx_and_what_it_says_itself(tmp_path: Path) -> None:
    with made(tmp_path, with_chef=False) as (fleet, certificate), ExitStack() as stack:
        documented = plain(fleet, certificate)
        with nginx(tmp_path / "nginx", documented, fleet.port):
            stack.enter_context(fleet)
            behind_proxy.check_sizes(fleet)
            behind_proxy.check_paths(fleet, "1.3")
        changes = {"client_max_body_size 2m": "client_max_body_size 1k", "300s": "1s"}
        with nginx(tmp_path / "strict", replaced(documented, changes), fleet.port):
            file = tmp_path / "large"
            file.write_bytes(os.urandom(3000))
            start = ("job", "start", "true", NODE, "--file", str(file))
            status, said = refused(fleet, *start)
            assert status == ExitStatus.USAGE
            assert "takes no request as large as this (413)" in said
            os.kill(fleet.pid("server"), signal.SIGSTOP)
            status, said = refused(fleet, "node", "status")
            os.kill(fleet.pid("server"), signal.SIGCONT)
            assert status == ExitStatus.ERROR
            assert "got no answer from it in time (504)" in said
            fleet.end_server()
            status, said = refused(fleet, "node", "status")
            assert status == ExitStatus.ERROR
            assert "a proxy before the server cannot reach it (502)" in said


def test_a_proxy_that_is_not_trusted_is_told(tmp_path: Path) -> None:
    with made(tmp_path, trusted=[]) as (fleet, certificate), ExitStack() as stack:
        config = of_chef(fleet, certificate, as_left=False)
        stack.enter_context(nginx(tmp_path / "nginx", config, fleet.port))
        fleet.make_server()
        stack.callback(fleet.stop)
        fleet.start_server()
        wait_for_log(fleet, "trusted_proxies names none")
        for _ in range(3):
            uri = fleet.raw("POST", body={"command": "true", "nodes": ["x"]}).json["uri"]
            # What knife asks next: nginx tells it that this port speaks TLS.
            assert uri.startswith(f"http://127.0.0.1:{fleet.port}/organizations/{ORG}/pushy/jobs/")
        wait_for_log(fleet, "X-Forwarded-For from 127.0.0.1 is not believed (1 such requests")
        assert fleet.log("server").read_text().count("is not believed") == 1
        # Nor is anybody else's word taken for where he is.
        [record] = Raw(fleet)(path="audit", query="?limit=1").json["records"]
        assert record["origin"] == "127.0.0.1"
