"""The whitelist, edited from the workstation, on real agents."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from pushcli.whitelist import statements
from pushcli.whitelist.statements import Change
from pushcli_server import settings
from pushcli_server.store.database import make_engine, writing
from tests.support import in_process
from tests.support.waiting import job_is, lines, start, until

pytestmark = pytest.mark.timeout(90)
NODES = ("n1", "n2", "n3")
LATE = "its agent has not confirmed it yet"


def whitelist_of(fleet: Sandbox, node: str) -> Any:
    return fleet.api.get(f"pushy/whitelist/{node}")


def in_force(fleet: Sandbox, node: str) -> dict[str, Any]:
    """What the agent reported, by name."""
    report = whitelist_of(fleet, node)["in_force"] or {"entries": []}
    return {entry["name"]: entry for entry in report["entries"]}


def refused(fleet: Sandbox, node: str) -> dict[str, str]:
    """What the agent refused, with its reasons."""
    report = whitelist_of(fleet, node)["in_force"] or {"refused": []}
    return {entry["name"]: entry["reason"] for entry in report["refused"]}


def cli(fleet: Sandbox, *arguments: str) -> in_process.Said:
    """A command of the operator, in this process: whoever tests what agents do needs no other."""
    return in_process.outcome(fleet.environment, *arguments)


def edit(fleet: Sandbox, *arguments: str) -> None:
    """A `pushcli whitelist` command that succeeds, and that agents have confirmed.

    The server waits for them a little, and answers then who is late: on a busy machine somebody is.
    """
    said = cli(fleet, "-F", "json", "whitelist", *arguments)
    if said.status == ExitStatus.NOT_IN_FORCE:
        late: dict[str, str] = json.loads(said.stdout)["not_in_force"]
        assert set(late.values()) == {LATE}, said
        name = next(word for word in arguments[1:] if not word.startswith("-"))
        until(lambda: all(has_newest(fleet, node, name) for node in late), f"they have {name}")
    else:
        assert said.status == ExitStatus.OK, said


def has_newest(fleet: Sandbox, node: str, name: str) -> bool:
    """Whether the agent goes by what the server has of an entry: this version of it, or none."""
    entries = whitelist_of(fleet, node)["entries"]
    wanted = {one["version"] for one in entries if one["name"] == name}
    reported = in_force(fleet, node).get(name)
    is_refused = name in refused(fleet, node)
    return not is_refused and wanted == ({reported.get("version")} if reported else set())


def by_hand(fleet: Sandbox, node: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a node's normal attributes in the database, as somebody who stole it would."""
    place = fleet.server_directory
    engine = make_engine(settings.load(place).database(place))
    # The server may write between the two.
    with writing(engine).begin() as connection:
        normal = connection.scalar(
            text("SELECT normal FROM nodes WHERE name = :node"), {"node": node}
        )
        attributes = json.loads(normal)
        change(attributes)
        connection.execute(
            text("UPDATE nodes SET normal = :normal WHERE name = :node"),
            {"normal": json.dumps(attributes), "node": node},
        )
    engine.dispose()


def test_an_added_command_can_be_run_at_once_and_a_removed_one_is_nacked(
    fleet: Sandbox,
) -> None:
    said = fleet.cli("whitelist", "add", "greet", "echo greetings", *NODES)
    assert (said.returncode, said.stdout) == (ExitStatus.OK, "in force on 3 nodes\n")
    done = fleet.cli("job", "start", "--capture", "greet", *NODES)
    assert done.returncode == ExitStatus.OK, done.stdout
    assert done.stdout.count("greetings") == 1
    for node in NODES:
        assert in_force(fleet, node)["greet"]["signer"] == fleet.profile.client_name
    edit(fleet, "remove", "greet", *NODES)
    done = fleet.cli("job", "start", "greet", *NODES)
    assert done.returncode == ExitStatus.QUORUM_FAILED
    assert "not on the whitelist" in done.stdout


def test_an_edit_leaves_a_running_job_alone(fleet: Sandbox, tmp_path: Path) -> None:
    edit(fleet, "add", "long", f"echo one >> {tmp_path}/marks; sleep 1.5; echo two", "n1")
    job = start(fleet, "long", "n1", capture_output=True)
    until(lambda: lines(tmp_path / "marks"), "it runs")
    edit(fleet, "remove", "long", "n1")
    assert "long" not in in_force(fleet, "n1")
    assert job_is(fleet, job, "complete")["nodes"] == {"succeeded": ["n1"]}
    assert fleet.api.job_output(job, "n1", "stdout") == b"two\n"


def test_patterns_and_lists_are_run_as_data(fleet: Sandbox, tmp_path: Path) -> None:
    edit(fleet, "add", "--pattern", "say (.*)", r"printf '%s.' \1", "n1")
    marker = tmp_path / "marker"
    hostile = f"say $(touch {marker}) `touch {marker}`; touch {marker} # 'x' \"y\""
    job = start(fleet, hostile, "n1", capture_output=True)
    job_is(fleet, job, "complete")
    said = fleet.api.job_output(job, "n1", "stdout").decode()
    assert said == hostile.removeprefix("say ") + "."
    assert not marker.exists()


def test_a_check_says_what_would_run_without_running_it(fleet: Sandbox, tmp_path: Path) -> None:
    edit(fleet, "add", "touch-it", f"touch {tmp_path}/touched", "n1")
    asked = fleet.api.post("pushy/checks", {"command": "touch-it", "nodes": [*NODES, "nobody"]})
    verdicts = asked["nodes"]
    assert verdicts["n1"] == {
        "state": "ready",
        "entry": "touch-it",
        "source": "server",
        "runs": f"touch {tmp_path}/touched",
    }
    assert verdicts["n2"]["state"] == "nacked"
    assert "not on the whitelist" in verdicts["n2"]["reason"]
    assert verdicts["nobody"]["state"] == "unavailable"
    assert not (tmp_path / "touched").exists()
    done = fleet.cli("whitelist", "test", "n1", "touch-it")
    assert done.returncode == ExitStatus.OK
    assert "touch" in done.stdout
    assert fleet.cli("whitelist", "test", "n2", "touch-it").returncode != ExitStatus.OK


def test_an_agent_that_was_away_gets_it_when_it_returns(fleet: Sandbox) -> None:
    fleet.end_agent("n2")
    fleet.wait_available(["n2"], available=False)
    edit(fleet, "add", "awaited", "true", "n1", "n2")
    fleet.start_agent("n2")
    until(lambda: "awaited" in in_force(fleet, "n2"), "n2 has it")
    fleet.wait_available(fleet.nodes)


def test_a_server_restarted_between_edit_and_delivery_still_delivers(
    fleet: Sandbox,
) -> None:
    fleet.end_agent("n1")
    fleet.wait_available(["n1"], available=False)
    edit(fleet, "add", "delivered", "true", "n1")
    fleet.end_server(9)
    fleet.start_server()
    fleet.start_agent("n1")
    until(lambda: "delivered" in in_force(fleet, "n1"), "n1 has it")
    fleet.wait_available(fleet.nodes)


def test_it_holds_while_the_server_is_away_and_over_restarts_of_the_agent(
    fleet: Sandbox,
) -> None:
    edit(fleet, "add", "lasting", "echo greetings", "n1")
    since = in_force(fleet, "n1")["lasting"]["since"]
    fleet.end_agent("n1")
    fleet.wait_available(["n1"], available=False)
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    done = cli(fleet, "job", "start", "--capture", "lasting", "n1")
    assert "greetings" in done.stdout
    assert in_force(fleet, "n1")["lasting"]["since"] == since


def test_a_broken_local_file_leaves_the_last_good_one_in_force(fleet: Sandbox) -> None:
    file = fleet.agent_directory("n1") / "agent.toml"
    usual = file.read_text()
    good = usual + 'local = "echo greetings"\n'
    file.write_text(good)
    until(lambda: "local" in in_force(fleet, "n1"), "the new file is in force")
    file.write_text(good + 'other = { comand_line = "x" }\n')

    def error() -> str | None:
        whitelist = fleet.api.get("pushy/node_status/n1")["whitelist"]
        said: str | None = whitelist["error"]
        return said

    said = until(error, "the error is reported")
    assert "comand_line" in said
    assert "command_line" in said
    assert re.search(r"line \d+", said)
    assert "local" in in_force(fleet, "n1")
    assert cli(fleet, "job", "start", "local", "n1").status == ExitStatus.OK
    shown = cli(fleet, "node", "status", "n1")
    assert "comand_line" in shown.stdout + shown.stderr
    assert "comand_line" in fleet.log("n1").read_text()
    file.write_text(good)
    until(lambda: error() is None, "it is mended")
    file.write_text(usual)


def test_what_was_put_into_the_database_is_refused(fleet: Sandbox) -> None:
    edit(fleet, "add", "changed", "echo greetings", "n1")

    def steal(attributes: dict[str, Any]) -> None:
        whitelist = attributes["push_jobs"]["whitelist"]
        whitelist["changed"] = "echo stolen"
        whitelist["root"] = "sh"

    fleet.end_server()
    by_hand(fleet, "n1", steal)
    fleet.start_server()
    until(lambda: "root" in refused(fleet, "n1"), "it is refused")
    assert "unsigned" in refused(fleet, "n1")["root"]
    assert "does not match" in refused(fleet, "n1")["changed"]
    fleet.wait_available(["n1"])
    for command in ("root", "changed"):
        done = cli(fleet, "job", "start", command, "n1")
        assert done.status == ExitStatus.QUORUM_FAILED
    listed = cli(fleet, "whitelist", "list", "n1")
    assert "refused" in listed.stdout
    for name in ("root", "changed"):
        edit(fleet, "remove", name, "n1")


def test_a_stolen_keys_version_of_2_to_the_62_keeps_nobody_out(
    fleet: Sandbox,
) -> None:
    edit(fleet, "add", "ahead", "echo greetings", "n1")
    place: dict[str, Any] = {
        "org": "sandbox", "nodes": ["n1"], "changes": [Change("ahead", "echo stolen")],
    }  # fmt: skip
    key = keys.load_private_key(Path(fleet.profile.client_key))
    signed = statements.sign(key, version=2**62, signer="operator", **place)
    record = statements.records(signed, **place)["n1"]["ahead"]

    def steal(attributes: dict[str, Any]) -> None:
        attributes["push_jobs"]["whitelist"]["ahead"] = "echo stolen"
        attributes["push_jobs"]["whitelist_signatures"]["ahead"] = record

    # The server does not take it any more; version 0.1.0 did.
    fleet.end_server()
    by_hand(fleet, "n1", steal)
    fleet.start_server()
    until(lambda: "ahead of this node's clock" in refused(fleet, "n1").get("ahead", ""))
    edit(fleet, "add", "ahead", "echo hello", "n1")
    assert in_force(fleet, "n1")["ahead"]["value"] == "echo hello"
    fleet.wait_available(fleet.nodes)


def test_an_older_signed_version_is_refused(fleet: Sandbox) -> None:
    edit(fleet, "add", "replayed", "echo old", "n1")
    kept: dict[str, Any] = {}
    by_hand(fleet, "n1", kept.update)
    edit(fleet, "add", "replayed", "echo new", "n1")
    fleet.end_server()
    by_hand(fleet, "n1", lambda attributes: attributes.update(kept))
    fleet.start_server()
    until(lambda: "replayed" in refused(fleet, "n1"), "it is refused")
    assert "replayed" in refused(fleet, "n1")["replayed"]
    edit(fleet, "remove", "replayed", "n1")
    fleet.wait_available(fleet.nodes)


def test_editors_vouch_for_others_and_take_it_back(fleet: Sandbox, tmp_path: Path) -> None:
    pivotal = fleet.server_directory / "keys" / "pivotal.pem"
    bobs, public = tmp_path / "bob.pem", tmp_path / "bob.pub.pem"
    as_pivotal = ("-u", "pivotal", "-k", str(pivotal))
    made = cli(fleet, "user", "create", "bob", "--key-file", str(bobs), *as_pivotal)
    assert made.status == ExitStatus.OK, made.stderr
    assert cli(fleet, "group", "add", "admins", "--user", "bob").status == ExitStatus.OK
    public.write_text(keys.public_pem(keys.load_private_key(bobs)))
    greet = ("add", "vouched", "echo greetings", "n1", "-u", "bob", "-k", str(bobs))

    # The server takes his edit, for he is an administrator; the node does not know him.
    done = cli(fleet, "whitelist", *greet)
    assert done.status == ExitStatus.NOT_IN_FORCE
    until(lambda: "vouched" in refused(fleet, "n1"), "n1 refuses it")
    assert "signed by bob" in refused(fleet, "n1")["vouched"]
    assert "not an editor's key" in refused(fleet, "n1")["vouched"]
    edit(fleet, "editors", "add", "bob", str(public), "-y")
    until(lambda: "vouched" in in_force(fleet, "n1"), "n1 takes what bob signed")
    assert in_force(fleet, "n1")["vouched"]["signer"] == "bob"
    edit(fleet, "editors", "remove", "bob", "-y")
    until(lambda: "vouched" in refused(fleet, "n1"), "n1 refuses it again")
    assert cli(fleet, "job", "start", "vouched", "n1").status == ExitStatus.QUORUM_FAILED
    edit(fleet, "remove", "vouched", "n1")


def agent_editors(fleet: Sandbox, node: str, *arguments: str) -> str:
    """A `pushcli agent editors` command on a node, which succeeds."""
    place = str(fleet.agent_directory(node))
    done = cli(fleet, "agent", "editors", *arguments, "--dir", place)
    assert done.status == ExitStatus.OK, done.stdout + done.stderr
    return done.stdout


def test_a_pinned_key_is_taken_back_on_the_node_or_by_two_others(
    make_fleet: Callable[..., Sandbox], tmp_path: Path
) -> None:
    fleet = make_fleet("n1", "n2")
    pivotal = fleet.server_directory / "keys" / "pivotal.pem"
    files: dict[str, tuple[str, ...]] = {}
    for name in ("ann", "bob"):
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        as_pivotal = ("-u", "pivotal", "-k", str(pivotal))
        made = cli(fleet, "user", "create", name, "--key-file", str(private), *as_pivotal)
        assert made.status == ExitStatus.OK, made.stderr
        for group in ("admins", "pushy_job_readers"):
            assert cli(fleet, "group", "add", group, "--user", name).status == ExitStatus.OK
        public.write_text(keys.public_pem(keys.load_private_key(private)))
        files[name] = ("-u", name, "-k", str(private))
        # While the agents run: they read it again.
        for node in ("n1", "n2"):
            agent_editors(fleet, node, "add", name, str(public))
    edit(fleet, "add", "greet", "echo greetings", "n1", "n2")
    operator = tmp_path / "operator.pub"
    operator.write_text(keys.public_pem(keys.load_private_key(Path(fleet.profile.client_key))))
    until(lambda: "greet" in in_force(fleet, "n1"), "n1 goes by the operator's entry")

    # A stolen key alone cannot do it, whatever date it signs.
    edit(fleet, "editors", "remove", "operator", str(operator), "-y", *files["ann"])
    edit(fleet, "add", "more", "echo more", "n1")
    assert set(in_force(fleet, "n1")) >= {"greet", "more"}
    said = cli(
        fleet, "whitelist", "editors", "remove", "operator", str(operator), "-y", *files["bob"]
    )
    assert said.status == ExitStatus.OK, said.stderr
    assert "no longer in force, because operator signed it:" in said.stderr
    assert "greet" in said.stderr
    assert "look at it, then sign it" in said.stderr, "-y is no consent to what a thief signed"
    until(lambda: "greet" in refused(fleet, "n1"), "n1 took it back")
    until(lambda: "greet" in refused(fleet, "n2"), "n2 took it back")
    remove = ("whitelist", "editors", "remove", "operator", str(operator))
    again = cli(fleet, *remove, "--sign-again", *files["bob"])
    assert again.status == ExitStatus.OK or LATE in again.stdout, again

    def signers() -> set[str | None]:
        return {in_force(fleet, node).get("greet", {}).get("signer") for node in ("n1", "n2")}

    until(lambda: signers() == {"bob"}, "bob's now")

    # And on the node, whoever vouches for it.
    agent_editors(fleet, "n2", "remove", "bob")
    assert "distrusted here" in agent_editors(fleet, "n2", "list")
    until(lambda: "greet" in refused(fleet, "n2"), "n2 does not go by bob any more")
    assert "greet" in in_force(fleet, "n1")


def test_a_fork_in_the_store_is_reported_by_the_agents(
    make_fleet: Callable[..., Sandbox], tmp_path: Path
) -> None:
    fleet = make_fleet("n1")
    public = tmp_path / "bob.pub"
    public.write_text(keys.public_pem(keys.generate()))
    edit(fleet, "editors", "add", "bob", str(public), "-y")
    before = chain_of(fleet)
    edit(fleet, "editors", "remove", "bob", "-y")
    until(lambda: not error_of(fleet), "n1 has heard of it")
    # Somebody who has the server takes the revocation out again.
    fleet.end_server()
    statement(fleet, f"DELETE FROM editor_statements WHERE place >= {before}")
    fleet.start_server()
    until(lambda: "end before what this node knows" in error_of(fleet), "n1 reports it")
    edit(fleet, "editors", "add", "eve", str(public), "-y")
    until(lambda: "follow the same one" in error_of(fleet), "and the fork")


def chain_of(fleet: Sandbox) -> int:
    """The length of the chain."""
    return len(fleet.api.get("pushy/editors")["links"])


def error_of(fleet: Sandbox) -> str:
    """What n1's agent reports to be wrong."""
    report = whitelist_of(fleet, "n1")["in_force"] or {}
    return str(report.get("error") or "")


def statement(fleet: Sandbox, sql: str) -> None:
    """Carry it out in the server's database."""
    place = fleet.server_directory
    engine = make_engine(settings.load(place).database(place))
    with engine.begin() as connection:
        connection.execute(text(sql))
    engine.dispose()


def test_a_new_key_of_an_editor_counts_only_if_the_old_one_vouched_for_it(
    make_fleet: Callable[..., Sandbox],
) -> None:
    fleet = make_fleet("n1")
    done = cli(fleet, "user", "rotate-key", "--overlap", "1h", "--vouch", "-y")
    assert done.status == ExitStatus.OK, done.stderr
    edit(fleet, "add", "greet", "echo hello", "n1")
    done = cli(fleet, "user", "rotate-key", "--overlap", "1h", "-y")
    assert done.status == ExitStatus.OK, done.stderr
    done = cli(fleet, "whitelist", "add", "greet", "echo greetings", "n1")
    assert done.status == ExitStatus.NOT_IN_FORCE
    until(lambda: "greet" in refused(fleet, "n1"), "n1 refuses it")
    assert "not an editor's key" in refused(fleet, "n1")["greet"]
    assert fleet.profile.client_name in refused(fleet, "n1")["greet"]


def test_entries_that_others_set_count_where_the_node_says_so(fleet: Sandbox) -> None:
    file = fleet.agent_directory("n2") / "agent.toml"
    usual = file.read_text()

    def restart_n2() -> None:
        fleet.end_agent("n2")
        fleet.wait_available(["n2"], available=False)
        fleet.start_agent("n2")
        fleet.wait_available(["n2"])

    file.write_text("accept_unsigned_whitelist = true\n" + usual)
    restart_n2()
    for node in ("n1", "n2"):
        found = fleet.api.get(f"nodes/{node}")
        whitelist = found["normal"].setdefault("push_jobs", {}).setdefault("whitelist", {})
        whitelist["unsigned"] = "echo greetings"
        fleet.api.put(f"nodes/{node}", found)
    until(lambda: "unsigned" in in_force(fleet, "n2"), "n2 takes it")
    until(lambda: "unsigned" in refused(fleet, "n1"), "n1 refuses it")
    assert in_force(fleet, "n2")["unsigned"].get("signer") is None
    file.write_text(usual)
    restart_n2()
    until(lambda: "unsigned" in refused(fleet, "n2"), "n2 refuses it, too")
    edit(fleet, "remove", "unsigned", "n1", "n2")


def test_operators_of_an_entry_are_the_only_ones_who_may_start_it(fleet: Sandbox) -> None:
    edit(fleet, "add", "mine", "true", "n1", "--operator", fleet.profile.client_name)
    edit(fleet, "add", "theirs", "true", "n1", "--operator", "somebody-else")
    assert cli(fleet, "job", "start", "mine", "n1").status == ExitStatus.OK
    done = cli(fleet, "job", "start", "theirs", "n1")
    assert done.status == ExitStatus.QUORUM_FAILED
    who = f"the requestor ('{fleet.profile.client_name}') is not among the entry's operators"
    assert who in done.stdout


def test_the_timeout_of_an_entry_ends_its_command(fleet: Sandbox) -> None:
    edit(fleet, "add", "short", "sleep 30", "n1", "--timeout", "0.5")
    job = start(fleet, "short", "n1")
    ended = job_is(fleet, job, "complete", "timed_out")
    assert list(ended["nodes"]) in (["failed"], ["timed_out"])
