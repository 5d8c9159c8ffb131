"""A server and agents of version 0.1.0, killed at work, go on with the present version."""

import base64
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from pushcli.client import editors
from pushcli.client.api import ApiClient, requestor_of, server_of
from pushcli.client.credentials import load_profile
from pushcli.client.http import HttpClient
from pushcli.exit_status import ExitStatus
from pushcli_agent.whitelist import server_whitelist
from tests.upgrade.kept import NODES, VersionedFleet, recorded, restored, said_now
from tests.upgrade.waiting import until

pytestmark = pytest.mark.timeout(90)
GROWING = ("pushy/jobs", "audit")
"""Lists to which going on adds."""
NEW_IN_PARTS = frozenset({"partial", "late_result", "stdout_digest", "stderr_digest"})
"""What a node's part of a job says since."""


class Revived:
    """The fleet, what REST said in version 0.1.0, and what it said again before agents came."""

    def __init__(self, fleet: VersionedFleet) -> None:
        self.fleet = fleet
        record = recorded(fleet)
        self.before: dict[str, Any] = record["answers"]
        self.before_in_second: dict[str, Any] = record["second"]
        self.output: dict[str, str | None] = record["output"]
        live: dict[str, str] = record["live"]
        self.running, self.voting, self.expired = (
            live[name] for name in ("running", "voting", "expired")
        )
        self.in_second = live["second"]
        self.second = ApiClient(load_profile("second", {}, config=fleet.credentials))
        self.spooled = {
            channel: (self.spool("n2") / channel).read_bytes() for channel in ("stdout", "stderr")
        }
        self.after: dict[str, Any] = {}
        self.feed: Future[str] = Future()
        self._reader = ThreadPoolExecutor(1)

    def spool(self, node: str) -> Path:
        """Of the job that was running."""
        return self.fleet.agent_directory(node) / "spool" / self.running

    def go_on(self) -> None:
        """Start everything; what the feed of the running job says is read meanwhile."""
        fleet = self.fleet
        # As docs/operations.md tells: these jobs get older every day.
        with (fleet.server_directory / "server.toml").open("a") as settings:
            settings.write('output_retention = "forever"\njob_retention = "forever"\n')
        fleet.bring_up_to_date()
        fleet.start_server()
        self.after = said_now(fleet.api, self.before)
        self.feed = self._reader.submit(self._read_feed)
        for node in NODES:
            fleet.start_agent(node)
        fleet.wait_available(NODES)

    def close(self) -> None:
        """End everything."""
        self.second.close()
        self.fleet.stop()
        self._reader.shutdown()

    def ended(self, job: str) -> dict[str, Any]:
        """A job with its file, once it has ended."""
        api = self.fleet.api
        until(lambda: api.job(job)["status"] not in ("voting", "running"), "it ends")
        shown: dict[str, Any] = api.get(f"pushy/jobs/{job}", {"include_file": "true"})
        return shown

    def run(self, command: str, *nodes: str) -> dict[str, Any]:
        """A new job, once it has ended."""
        spec = {"command": command, "nodes": [*nodes], "capture_output": True}
        return self.ended(self.fleet.api.start_job(spec))

    def parts(self, job: str) -> dict[str, dict[str, Any]]:
        """Each node's part in a job."""
        return {part["node"]: part for part in self.fleet.api.job_nodes(job)}

    def _read_feed(self) -> str:
        profile = self.fleet.profile
        with closing(HttpClient(server_of(profile), requestor_of(profile))) as client:
            path = f"pushy/job_status_feed/{self.running}"
            answer = client.request("GET", path, headers={"Accept": "text/event-stream"})
            return answer.content.decode()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def revived(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Revived]:
    """All of it up again, on either database."""
    url = request.getfixturevalue("postgresql") if request.param == "postgresql" else ""
    revived = Revived(restored(tmp_path_factory.mktemp(request.param), request.param, url))
    try:
        revived.go_on()
        yield revived
    finally:
        revived.close()


def test_all_but_jobs_reads_as_it_did(revived: Revived) -> None:
    paths = [path for path in revived.before if not path.startswith(GROWING)]
    assert len(paths) > 20
    for path in paths:
        assert revived.after[path] == revived.before[path], path


def test_every_ended_job_reads_as_it_did(revived: Revived) -> None:
    paths = [path for path in revived.before if path.startswith("pushy/jobs/")]
    for path in paths:
        assert _without(NEW_IN_PARTS, revived.after[path]) == revived.before[path], path
    before, after = (said["pushy/jobs"] for said in (revived.before, revived.after))
    assert after[: len(before)] == before
    live = {job["id"] for job in after[len(before) :]}
    assert live == {revived.running, revived.voting, revived.expired}
    ends = {job["status"] for job in before}
    assert ends == {"complete", "quorum_failed", "timed_out", "aborted"}


def _without(keys: frozenset[str], answer: Any) -> Any:
    """The answer as it was before its parts had these keys."""
    if not isinstance(answer, list):
        return answer
    return [{key: part[key] for key in part if key not in keys} for part in answer]


def test_the_audit_trail_goes_on_where_it_ended(revived: Revived) -> None:
    before, after = (said["audit"]["records"] for said in (revived.before, revived.after))
    assert after[: len(before)] == before
    job_ids = [record["target"] for record in after if record["action"] == "job start"]
    assert job_ids.count(revived.running) == 1


def test_an_organization_with_a_node_of_the_same_name_is_another(revived: Revived) -> None:
    before = revived.before_in_second
    now = said_now(revived.second, before)
    ended = len(before["pushy/jobs"])
    live = [job["id"] for job in now["pushy/jobs"][ended:]]
    assert live == [revived.in_second]
    assert {**now, "pushy/jobs": now["pushy/jobs"][:ended]} == before
    # The first organization's n1 is back, its own is not.
    job = revived.second.job(revived.in_second)
    assert (job["status"], job["nodes"]) == ("voting", {"new": ["n1"]})
    assert revived.second.abort_job(revived.in_second) == "aborted"


def test_output_is_there_byte_for_byte(revived: Revived) -> None:
    sizes = []
    for name, text in revived.output.items():
        if text is None:
            continue
        content = base64.b64decode(text)
        assert revived.fleet.api.job_output(*name.split("/")) == content, name
        sizes.append(len(content))
    # Both what is kept in the database and what is kept in files.
    assert min(sizes) < 10
    assert max(sizes) > 10_000


def test_a_vote_whose_time_is_over_has_failed(revived: Revived) -> None:
    job = revived.ended(revived.expired)
    assert (job["status"], job["nodes"]) == ("quorum_failed", {"unavailable": ["n4"]})
    assert "no answer" in revived.parts(revived.expired)["n4"]["reason"]


def test_a_vote_ends_with_the_return_of_its_node(revived: Revived) -> None:
    job = revived.ended(revived.voting)
    assert (job["status"], job["nodes"]) == ("quorum_failed", {"unavailable": ["n3"]})
    assert "restarted" in revived.parts(revived.voting)["n3"]["reason"]
    assert job["file"] == "raw:vote\n"


def test_a_running_job_gets_the_result_that_lay_in_the_spool(revived: Revived) -> None:
    api = revived.fleet.api
    job = revived.ended(revived.running)
    assert job["status"] == "complete"
    assert job["nodes"] == {"crashed": ["n1"], "succeeded": ["n2"]}
    assert job["file"] == "raw:live\n"
    assert "lost its supervisor" in revived.parts(revived.running)["n1"]["reason"]
    for channel, content in revived.spooled.items():
        assert api.job_output(revived.running, "n2", channel) == content
    assert len(revived.spooled["stdout"]) > 10_000


def test_the_result_is_taken_once(revived: Revived) -> None:
    # What was published before is still known, and each thing after it comes once.
    events = [line[7:] for line in revived.feed.result().splitlines() if line.startswith("event: ")]
    voted = ["start", "quorum_vote", "quorum_vote", "quorum_succeeded", "run_start", "run_start"]
    assert events[:6] == voted
    assert events.count("run_complete") == 2
    assert events[-1] == "job_complete"
    until(lambda: not revived.spool("n1").exists(), "nothing is left on n1")
    until(lambda: not revived.spool("n2").exists(), "nothing is left on n2")
    before = revived.parts(revived.running)
    revived.fleet.end_agent("n2")
    revived.fleet.start_agent("n2")
    log = revived.fleet.log("n2")
    until(lambda: log.read_text().count("the server answers") == 2, "n2 connects anew")
    revived.fleet.wait_available(["n2"])
    assert revived.parts(revived.running) == before


def test_the_kept_whitelist_counts(revived: Revived) -> None:
    fleet = revived.fleet
    for node in NODES:
        known = revived.before[f"pushy/whitelist/{node}"]["in_force"]["entries"]
        now = fleet.api.get(f"pushy/whitelist/{node}")["in_force"]
        # Since when is known only from what the agent kept.
        of_server = [entry for entry in known if entry["source"] == "server"]
        assert of_server
        assert [entry for entry in now["entries"] if entry["source"] == "server"] == of_server
        assert now["refused"] == []
    for command in ("greet", "of-bob"):
        assert revived.run(command, *NODES)["nodes"] == {"succeeded": list(NODES)}
    assert revived.run("gone", "n1")["nodes"] == {"nacked": ["n1"]}
    said = revived.run("say it's", "n1")
    assert fleet.api.job_output(said["id"], "n1", "stdout") == b"it's."


def test_the_whitelist_can_be_edited_on(revived: Revived) -> None:
    fleet = revived.fleet
    done = fleet.cli("whitelist", "add", "later", "echo later", *NODES, "--profile", "bob")
    assert done.returncode == ExitStatus.OK, done.stdout + done.stderr
    assert revived.run("later", *NODES)["nodes"] == {"succeeded": list(NODES)}


@pytest.mark.parametrize("profile", ["sandbox", "bob", "deployer"])
def test_profiles_still_work(revived: Revived, profile: str) -> None:
    done = revived.fleet.cli("job", "list", "--profile", profile)
    assert done.returncode == ExitStatus.OK, done.stderr
    assert revived.running in done.stdout


def test_a_second_key_of_a_client_counts(revived: Revived) -> None:
    fleet = revived.fleet
    key = str(fleet.credentials.with_name("deployer-next.pem"))
    done = fleet.cli("job", "start", "hello", "n1", "-u", "deployer", "-k", key)
    assert done.returncode == ExitStatus.OK, done.stderr


def test_a_token_that_was_handed_out_enrolls(revived: Revived) -> None:
    fleet = revived.fleet
    token = str(fleet.credentials.with_name("enroll.token"))
    pin = ["--fingerprint", fleet.profile.fingerprint] if fleet.profile.fingerprint else []
    done = fleet.cli(
        "agent", "enroll", "--server", fleet.url, "--token-file", token, "--node-name", "n5",
        "--dir", str(fleet.agent_directory("n5")), *pin,
    )  # fmt: skip
    assert done.returncode == ExitStatus.OK, done.stderr
    fleet.start_agent("n5")
    fleet.wait_available(["n5"])


def test_agents_without_lists_stay_open_and_are_found(revived: Revived) -> None:
    fleet = revived.fleet
    for node in NODES:
        shown = fleet.api.get(f"pushy/node_status/{node}")
        assert shown["open"] == ["env", "dir", "user"], shown
        assert "open: env, dir, user" in fleet.log(node).read_text()
    query = "pushcli_open:env AND pushcli_open:dir AND pushcli_open:user"
    until(
        lambda: set(NODES) <= set(fleet.cli("node", "search", "-i", query).stdout.split()),
        "all found",
    )
    # As in 0.1.0: the upgrade changes no job.
    done = fleet.cli(
        "job", "start", "--capture", "environment", "n1", "--with-env", '{"A": "b c"}',
        "--in-dir", "/usr",
    )  # fmt: skip
    assert done.returncode in (ExitStatus.OK, ExitStatus.NODE_FAILED), done.stdout
    assert "b c" in done.stdout
    assert "/usr\n" in done.stdout


def test_what_editors_signed_counts_and_the_chain_goes_on_from_it(revived: Revived) -> None:
    fleet = revived.fleet
    before = revived.after["pushy/whitelist_editors"]["statements"]
    shown = fleet.api.get("pushy/editors")
    assert sorted(shown["base"], key=str) == sorted(before, key=str)
    whitelist = fleet.api.get("pushy/whitelist/n1")
    signed = {entry["name"] for entry in whitelist["entries"] if entry["signer"]}
    assert {"operator", "bob"} <= {entry["signer"] for entry in whitelist["entries"]}

    def in_force() -> dict[str, Any]:
        report = fleet.api.get("pushy/whitelist/n1")["in_force"]
        return {entry["name"]: entry for entry in report["entries"]}

    until(lambda: signed <= in_force().keys(), "what was signed is in force on the upgraded agent")
    # Carol's key was taken back then; who vouches for her now begins the chain.
    [carol] = [one for one in before if one["editor"] == "carol"]
    numbers = RSAPublicNumbers(
        carol["exponent"], int.from_bytes(base64.b64decode(carol["modulus"]), "big")
    )
    editors.vouch(fleet.api, "carol", numbers.public_key())
    shown = fleet.api.get("pushy/editors")
    assert [link["editor"] for link in shown["links"]] == ["carol"]
    assert len(shown["base"]) == len(before)
    place = fleet.agent_directory("n1")
    until(lambda: server_whitelist.standing(place).head, "n1 goes along with it")
    standing = server_whitelist.standing(place)
    assert {one.name for one in standing.vouched.values()} == {"bob", "carol"}
    assert signed <= in_force().keys()
    report = fleet.api.get("pushy/whitelist/n1")["in_force"]
    assert report["error"] is None
