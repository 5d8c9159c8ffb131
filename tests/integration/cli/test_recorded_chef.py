"""What the command line asks of a Chef Infra Server, and makes of its recorded answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.errors import NotFound, NotOffered
from tests.integration.cli.in_process import run
from tests.integration.cli.played_server import URL, playing
from tests.integration.cli.recorded_chef import HTML, RecordedChef


@pytest.fixture
def chef(key_file: Path) -> Iterator[RecordedChef]:
    chef = RecordedChef(keys.load_private_key(key_file).public_key())
    with playing(chef.answer):
        yield chef
    assert chef.strange == []


def test_names_are_listed(chef: RecordedChef, key_file: Path) -> None:
    assert "web01" in run(key_file, "client", "list").stdout.split()
    assert "web01" in run(key_file, "node", "list").stdout.split()
    assert "pushy_job_readers" in run(key_file, "group", "list").stdout.split()


@pytest.mark.parametrize("version", ["1.1", "1.3"])
def test_every_request_says_which_version_of_chef_it_speaks(
    chef: RecordedChef, key_file: Path, tmp_path: Path, version: str
) -> None:
    config = tmp_path / "credentials"
    config.write_text(f'[default]\nsigning_version = "{version}"\n')
    config.chmod(0o600)
    run(key_file, "-c", str(config), "node", "list")
    sent = chef.calls[-1].headers
    assert (sent["X-Chef-Version"], sent["X-Ops-Server-API-Version"]) == ("16.12.3", "1")
    assert f"version={version};" in sent["X-Ops-Sign"]


@pytest.mark.parametrize(("kind", "name"), [("client", "web01"), ("user", "ann")])
def test_the_key_of_a_user_or_client_is_read_where_chef_keeps_it(
    chef: RecordedChef, key_file: Path, kind: str, name: str
) -> None:
    assert "SHA256:" in run(key_file, kind, "show", name).stdout
    told = json.loads(run(key_file, kind, "show", name, "-F", "json").stdout)
    assert told["public_key"].startswith("-----BEGIN PUBLIC KEY-----")


def test_beside_chef_our_server_still_is_what_it_is(chef: RecordedChef, key_file: Path) -> None:
    ours = {"X-Pushcli-Extensions": "job-options,own-jobs,default-capture"}
    found = {"total": 1, "start": 0, "rows": [{"url": "", "data": {"name": "web01"}}]}
    chef.instead = {
        ("POST", "search/node"): (200, {}, json.dumps(found)),
        ("GET", "pushy/node_states"): (200, ours, "[]"),
        ("GET", f"pushy/own_jobs/{'0' * 32}"): (404, ours, "{}"),
        ("POST", "pushy/jobs"): (201, ours, json.dumps({"uri": f"{URL}/pushy/jobs/{'a' * 32}"})),
    }
    # It takes what the original does not, and knows what to keep of the output.
    run(key_file, "job", "start", "-b", "true", "-s", "role:web", "--timeout", "1.5")
    body = json.loads(chef.calls[-1].body)
    assert (body["run_timeout"], body["pushcli"]) == (1.5, {"capture": "default"})


@pytest.mark.parametrize("command", ["audit", "node token list"])
def test_what_only_ours_has_is_not_offered(
    chef: RecordedChef, key_file: Path, command: str
) -> None:
    for path in ("pushy/audit", "audit", "tokens"):
        chef.instead["GET", path] = (404, {"Content-Type": "text/html"}, HTML)
    with pytest.raises(NotOffered, match="not offered by a Chef Infra Server: only a pushcli"):
        run(key_file, *command.split())


def test_who_is_not_there_is_said(chef: RecordedChef, key_file: Path) -> None:
    with pytest.raises(NotFound, match="Cannot load client nobody"):
        run(key_file, "client", "show", "nobody")
