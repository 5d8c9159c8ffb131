"""Keys are replaced while jobs run; nothing is lost, and what was replaced counts no more."""

import json
import os
import signal
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pushcli import keys, tls
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server import secrets
from tests.support.fleet import Fleet
from tests.support.waiting import job_is, lines, start, until

pytestmark = pytest.mark.timeout(90)
MakeFleet = Callable[..., Sandbox]


def rotate(fleet: Sandbox, *options: str) -> str:
    done = fleet.cli("server", "rotate-keys", "--dir", str(fleet.server_directory), *options)
    assert done.returncode == ExitStatus.OK, done.stderr
    return done.stdout


def served(fleet: Sandbox, text: str = "new secrets are in use") -> None:
    """Wait until the running server says so."""
    until(lambda: text in fleet.log("server").read_text(), f"the server says: {text}")


def connections(fleet: Sandbox, node: str) -> int:
    """How often this agent connected, and the server answered."""
    return fleet.log(node).read_text().count("connected: the server answers")


def fetch_anew(fleet: Sandbox, node: str) -> None:
    """Have an agent do now what it does once in a configuration's lifetime."""
    before = connections(fleet, node)
    os.kill(fleet.pid(node), signal.SIGUSR1)
    until(lambda: connections(fleet, node) > before, f"{node} connects with a new configuration")


@contextmanager
def never_unavailable(fleet: Sandbox) -> Iterator[None]:
    """Hold that all nodes can be asked to run jobs, all the while."""
    seen: list[dict[str, str]] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            seen.extend(fleet.api.node_states())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert len(seen) > 20
    assert [state for state in seen if state["availability"] != "available"] == []


def test_keys_of_a_running_server_are_replaced_and_no_node_is_away_for_a_moment(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1", "n2"), tmp_path / "marks"
    place, previous = (fleet.server_directory / f"secrets{end}" for end in ("", ".previous"))
    former = (place / "curve.key").read_bytes()
    with never_unavailable(fleet):
        job_id = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
        until(lambda: lines(marks), "the command runs")
        assert "stay valid until" in rotate(fleet)
        served(fleet)
        assert (place / "curve.key").read_bytes() != former
        assert (previous / "curve.key").read_bytes() == former
        for file in (*place.iterdir(), *previous.iterdir()):
            assert file.stat().st_mode & 0o077 == 0
        # One agent knows the new keys, one the former ones, and the server talks with both.
        fetch_anew(fleet, "n2")
        assert job_is(fleet, start(fleet, "true", "n2"), "complete")["nodes"] == {
            "succeeded": ["n2"]
        }
        assert job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": ["n1"]}
        assert fleet.api.job_output(job_id, "n1", "stdout") == b"whole\n"
        both = job_is(fleet, start(fleet, "true", "n1", "n2"), "complete")
        assert both["nodes"] == {"succeeded": ["n1", "n2"]}
        assert connections(fleet, "n1") == 1
    for node in fleet.nodes:
        assert "dropped a message" not in fleet.log(node).read_text()


def test_the_audit_trail_tells_since_when_which_keys_are_in_use(make_fleet: MakeFleet) -> None:
    fleet = make_fleet()

    def trail() -> list[dict[str, Any]]:
        pivotal = str(fleet.server_directory / "keys" / "pivotal.pem")
        asked = ("audit", "--of-server", "-u", "pivotal", "-k", pivotal, "-F", "json")
        records = json.loads(fleet.cli(*asked).stdout)["records"]
        return [record for record in records if record["action"] == "server keys"]

    def in_use() -> str:
        return keys.fingerprint(secrets.load(fleet.server_directory).current.rsa)

    first = in_use()
    until(lambda: [one["target"] for one in trail()] == [first], "the first keys are recorded")
    rotate(fleet)
    until(lambda: [one["target"] for one in trail()] == [first, in_use()], "and the second")
    last = trail()[-1]
    assert (last["actor_kind"], last["actor"], last["origin"]) == ("server", "server", "local")
    until_then = datetime.fromisoformat(last["detail"]["former_until"]).timestamp()
    assert 7000 < until_then - time.time() <= 7201
    # What happened while no server ran is found at its start, and nothing twice.
    second = in_use()
    fleet.end_server()
    rotate(fleet, "--now")
    fleet.start_server()
    until(lambda: [one["target"] for one in trail()] == [first, second, in_use()], "the third")


def test_a_restart_in_the_overlap_finds_agents_with_either_key_back(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("n1", "n2")
    rotate(fleet)
    served(fleet)
    fetch_anew(fleet, "n2")
    fleet.end_server()
    fleet.start_server()
    fleet.wait_available(["n1", "n2"])
    job = job_is(fleet, start(fleet, "true", "n1", "n2"), "complete")
    assert job["nodes"] == {"succeeded": ["n1", "n2"]}


def test_the_overlap_ends_and_with_it_the_former_keys(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("n1", "n2")
    assert "some will have to reconnect" in rotate(fleet, "--overlap", "6s")
    served(fleet)
    fetch_anew(fleet, "n2")
    served(fleet, "the previous secrets are no longer valid")
    until(lambda: not (fleet.server_directory / "secrets.previous").exists(), "they are removed")
    # Whoever did not move over in time does so now.
    until(lambda: connections(fleet, "n1") == 2, "n1 connects with a new configuration")
    fleet.wait_available(["n1", "n2"])
    job = job_is(fleet, start(fleet, "true", "n1", "n2"), "complete")
    assert job["nodes"] == {"succeeded": ["n1", "n2"]}
    assert connections(fleet, "n2") == 2


def test_stolen_keys_end_at_once_and_jobs_outlive_them(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1"), tmp_path / "marks"
    rotate(fleet)
    served(fleet)
    again = fleet.cli("server", "rotate-keys", "--dir", str(fleet.server_directory))
    assert again.returncode == ExitStatus.CONFIG
    assert "are valid until" in again.stderr
    assert "--now" in again.stderr
    assert len(again.stderr.splitlines()) == 1
    job_id = start(fleet, "slow-mark", "n1", env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    assert "no longer valid" in rotate(fleet, "--now")
    served(fleet, "the previous secrets are no longer valid")
    assert not (fleet.server_directory / "secrets.previous").exists()
    # The agent waits longer between its attempts the more of them fail.
    assert job_is(fleet, job_id, "complete", limit=45)["nodes"] == {"succeeded": ["n1"]}
    assert lines(marks) == ["run", "end"]


def test_a_directory_without_a_server_has_no_keys_to_rotate(tmp_path: Path) -> None:
    done = Fleet(tmp_path, []).cli("server", "rotate-keys", "--dir", str(tmp_path))
    assert done.returncode == 9
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "secrets").exists()


def test_a_new_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["n1"], whitelist={"true": "true"}, with_tls=True) as fleet:
        place, former = fleet.server_directory / "tls", fleet.profile.fingerprint
        assert former is not None
        certificate, key = tls.make_self_signed(["127.0.0.1"])
        new = tls.certificate_fingerprint(certificate)
        assert new != former
        for file in (fleet.credentials, fleet.agent_directory("n1") / "agent.toml"):
            text = file.read_text()
            assert former in text
            file.write_text(text.replace(former, f"{former},{new}"))
        fleet.end_agent("n1")
        before = connections(fleet, "n1")
        fleet.start_agent("n1")
        # Only then does it know what SIGUSR1 means.
        until(lambda: connections(fleet, "n1") > before, "n1 is back")
        (place / "cert.pem").write_text(certificate)
        served(fleet, "the certificate in use stays")
        (place / "key.pem").write_bytes(key)
        served(fleet, "a new certificate is in use")
        shown = ssl.get_server_certificate(("127.0.0.1", fleet.ports[0]))
        assert tls.certificate_fingerprint(shown) == new
        fetch_anew(fleet, "n1")
        assert fleet.cli("job", "start", "true", "n1").returncode == ExitStatus.OK
        refused = fleet.cli("node", "status", "--fingerprint", former)
        assert refused.returncode == ExitStatus.UNREACHABLE
