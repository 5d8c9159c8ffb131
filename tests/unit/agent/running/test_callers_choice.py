"""What of a job is its caller's, and what keeps it from changing what a whitelisted command is.

Three registries are walked: the fields of a job, the keys of an entry, and the settings of the
agent. A new member of one must say here what bounds it, or what makes it harmless.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pushcli.protocol import limits, messages
from pushcli.protocol.run import RunSpec
from pushcli.whitelist import entry as entries
from pushcli.whitelist.entry import InvalidEntry, parse
from pushcli_agent.config import OPEN, AgentSettings
from pushcli_agent.running.jobs import Jobs
from pushcli_agent.running.policy import PolicyConfig, PreparedJob, Refusal, explain, prepare
from pushcli_agent.whitelist.merged import MergedWhitelist

JOB = "709e48adccab650bf6b33bd787c63734"
CLOSED: dict[str, Any] = {
    "allowed_overwritable_env_vars": frozenset(),
    "allowed_dirs": frozenset(),
    "allowed_users": frozenset(),
}
ANY_USER = "daemon"
as_root = os.geteuid() == 0


def config(
    tmp_path: Path, entry: dict[str, Any], name: str = "go", **settings: Any
) -> PolicyConfig:
    """A node with one entry of its own, which has no list for anything unless it is given."""
    value = {"command_line": "true", **entry}
    return PolicyConfig(
        whitelist=MergedWhitelist({name: parse(name, value, local=True)}),
        file_dir=tmp_path / "files",
        lock_dir=tmp_path / "locks",
        **settings,
    )


def prepared(config: PolicyConfig, **job: Any) -> PreparedJob:
    run = RunSpec(**{"command": "go", "run_timeout": math.inf, "exact_env": True, **job})
    found = prepare(JOB, run, config, node="web01", requestor="ann")
    found.release()
    return found


def refusal(config: PolicyConfig, **job: Any) -> str | None:
    """Why a job is refused, which a dry run says too; None: it is not."""
    run = RunSpec(**{"command": "go", "run_timeout": math.inf, "exact_env": True, **job})
    try:
        explain(run, config, requestor="ann")
        explained = None
    except Refusal as refused:
        explained = refused.reason
    try:
        prepared(config, **job)
        reason = None
    except Refusal as refused:
        reason = refused.reason
    assert reason == explained
    return reason


# --- the fields of a job

BOUNDED: dict[str, tuple[Any, str]] = {
    "command": ("id", "not on the whitelist"),
    "user": (ANY_USER, f"user {ANY_USER} is not allowed"),
    "dir": ("/usr", "directory '/usr' is not allowed"),
    "env": ({"https_proxy": "http://evil"}, "environment variable https_proxy is not allowed"),
    "file": ("x", "file: it must start with"),
    "secret_env": ({"https_proxy": "x"}, "environment variable https_proxy is not allowed"),
    "stdin": ("raw:x", "standard input is not allowed: the entry lacks stdin = true"),
}
"""For each field a value that a closed node refuses."""
HARMLESS = {
    "run_timeout": "ends the command earlier; never later than the entry's",
    "capture": "where the output goes, not what is run",
    "default_capture": "likewise, and less of it",
    "exact_env": "refuses what would be renamed",
}


def test_every_field_of_a_job_is_bounded_or_known_to_be_harmless() -> None:
    assert {*BOUNDED, *HARMLESS} == set(RunSpec.__struct_fields__)


@pytest.mark.parametrize("field", BOUNDED)
def test_a_closed_node_lets_the_caller_choose_nothing(tmp_path: Path, field: str) -> None:
    value, reason = BOUNDED[field]
    found = refusal(config(tmp_path, {}, **CLOSED), **{field: value})
    assert found is not None
    assert found.startswith(reason)
    assert refusal(config(tmp_path, {}, **CLOSED)) is None


def test_what_an_entry_lets_a_command_read_comes_to_it_whole(tmp_path: Path) -> None:
    node = config(tmp_path, {"stdin": True}, **CLOSED)
    assert prepared(node).stdin is None
    assert prepared(node, stdin="raw:").stdin == b""
    assert prepared(node, stdin="base64:/w==").stdin == b"\xff"
    assert refusal(node, stdin="zip:x") == "standard input: it must start with raw: or base64:"


# --- the settings of the agent

ELSEWHERE = {
    "chef_server_url", "node_name", "client_key", "ca_file", "fingerprint", "signing_version",
    "whitelist", "whitelist_source", "accept_unsigned_whitelist",
    "trust_editors_on_first_use", "roles", "tags", "attributes",
    "lock_dir", "file_dir", "file_dir_expiry", "spool_dir", "max_output_bytes",
    "default_capture", "jobs_outlive_agent", "log_level", "log_location",
}  # fmt: skip
"""Settings that limit no choice of a job's caller."""
LISTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "env": ({"env": {"BRANCH": "main"}}, ["BRANCH"]),
    "dir": ({"dir": "/usr"}, ["/usr"]),
    "user": ({"user": ANY_USER}, [ANY_USER]),
}
"""For each kind of choice a job that makes it, and the list that allows it."""


def settings(tmp_path: Path, **more: Any) -> AgentSettings:
    return AgentSettings(
        chef_server_url="x",
        node_name="web01",
        file_dir=str(tmp_path / "files"),
        lock_dir=str(tmp_path / "locks"),
        spool_dir=str(tmp_path / "spool"),
        **more,
    )


def answer(tmp_path: Path, settings: AgentSettings, **job: Any) -> str | None:
    jobs = Jobs(settings)
    jobs.use_whitelist(MergedWhitelist({"go": parse("go", "true", local=True)}))
    check = messages.Check(sequence=1, timestamp="", check_id="x", command="go", **job)
    found = jobs.check(check)
    assert jobs.policy_report()["open"] == list(settings.open)
    return None if found.get("ready") else str(found["reason"])


def test_every_setting_limits_a_choice_or_is_known_not_to() -> None:
    named = {field.name for field in msgspec.structs.fields(AgentSettings)}
    assert {*OPEN.values(), "rename_env", *ELSEWHERE} == named
    assert LISTS.keys() == OPEN.keys()


@pytest.mark.parametrize("kind", OPEN)
def test_each_kind_of_choice_is_open_closed_or_listed(tmp_path: Path, kind: str) -> None:
    if kind == "user" and not as_root:
        pytest.skip("only root can run jobs as other users")
    job, listed = LISTS[kind]
    others: dict[str, list[str]] = {key: [] for what, key in OPEN.items() if what != kind}
    opened = settings(tmp_path, **others)
    assert opened.open == (kind,)
    assert answer(tmp_path, opened, **job) is None
    closed = settings(tmp_path, **others, **{OPEN[kind]: []})
    assert closed.open == ()
    reason = answer(tmp_path, closed, **job)
    assert reason is not None
    assert f"{OPEN[kind]} = {msgspec.json.encode(listed).decode()} in agent.toml" in reason
    assert answer(tmp_path, settings(tmp_path, **others, **{OPEN[kind]: listed}), **job) is None


def test_without_any_key_everything_is_open() -> None:
    assert AgentSettings(chef_server_url="x", node_name="web01").open == tuple(OPEN)


def test_renaming_is_for_old_clients_or_for_those_who_ask_for_it(tmp_path: Path) -> None:
    job = {"env": {"BRANCH": "main"}}
    closed = config(tmp_path, {}, **CLOSED)
    assert refusal(closed, **job) is not None
    for node, exact in ((closed, False), (config(tmp_path, {}, rename_env=True, **CLOSED), True)):
        env = prepared(node, exact_env=exact, **job).env
        assert (env.get("BRANCH"), env["CHEF_PUSH_ENV_BRANCH"]) == (None, "main")


# --- the keys of an entry

WRONG: dict[str, list[Any]] = {
    "command_line": ["", [], 1],
    "lock": ["x", 1],
    "description": ["a\nb", 1],
    "operators": ["ann", ["a b"], ["a"] * 101],
    "timeout": [0, -1, True, math.inf, math.nan, 1e10, "5"],
    "env": ["A", [1], [""], ["A=B"], ["A B"], ["1A"], ["A\n"], ["A\0"], ["Ä"], ["a" * 256],
            ["BASH_FUNC_x%%"], ["CHEF_PUSH_JOB_ID"], ["CHEF_PUSH_ENV_A"], ["A"] * 101, {"A": "b"}],
    "dir": ["", "srv", "./srv", "~", "/a\nb", "/a\0", "/" + "x" * 5000, ["/srv"], 1, True],
    "stdin": [1, "true", None],
    "capture": [0, "false", None],
    "reboots": [1, "true", None],
    "dirs": ["/srv", ["srv"], [""], ["/a\0"], [1], ["/srv"] * 101],
    "user": ["", "a b", "a:b", "a/b", "a\n", "0", "65534", "-x", "x" * 66, ["deploy"], 1, True],
    "unsafe_substitution": ["yes", 1],
}  # fmt: skip
"""For each key values that make no entry."""


def test_every_key_of_an_entry_has_a_check() -> None:
    assert WRONG.keys() == set(entries.KEYS)
    assert set(entries.KEYS) > entries.BASE_KEYS


@pytest.mark.parametrize("key", entries.KEYS)
def test_a_wrong_value_makes_no_entry(key: str) -> None:
    for value in WRONG[key]:
        with pytest.raises(InvalidEntry) as refused:
            parse("/go (.*)/", {"command_line": "true", key: value}, local=True)
        assert refused.value.reason.isprintable()
        assert len(refused.value.reason) < 200


Outcome = Callable[[PolicyConfig], Any]


def outcome(**job: Any) -> Outcome:
    """What becomes of a job: why it is refused, or what would be run where and as whom."""

    def of(config: PolicyConfig) -> Any:
        try:
            found = prepared(config, **job)
        except Refusal as refused:
            return refused.reason
        names = ("command", "directory", "user", "env", "max_output_bytes", "reboots")
        run = found.run
        told = [getattr(found, name) for name in names]
        return told, run.run_timeout, run.capture, run.default_capture, found.lock >= 0

    return of


ENFORCED: dict[str, tuple[Any, Outcome]] = {
    "command_line": ("id", outcome()),
    "lock": (True, outcome()),
    "operators": (["bob"], outcome()),
    "timeout": (5, outcome()),
    "env": (["BRANCH"], outcome(env={"BRANCH": "main"})),
    "dir": ("/usr", outcome()),
    "dirs": (["/usr"], outcome(dir="/usr")),
    "user": (ANY_USER, outcome()),
    "stdin": (True, outcome(stdin="raw:x")),
    "capture": (False, outcome(capture=True)),
    "reboots": (True, outcome()),
    "unsafe_substitution": (True, outcome(command="go x")),
}
"""For each key a value, and a job for which it makes a difference."""
FOR_PEOPLE = {"description"}


def test_every_key_of_an_entry_is_enforced_or_for_people() -> None:
    assert {*ENFORCED, *FOR_PEOPLE} == set(entries.KEYS)


@pytest.mark.parametrize("key", ENFORCED)
def test_a_key_makes_its_difference(tmp_path: Path, key: str) -> None:
    value, of = ENFORCED[key]
    is_raw = key == "unsafe_substitution"
    name, base = ("/go (.)/", {"command_line": r"echo \1"}) if is_raw else ("go", {})
    without = of(config(tmp_path, base, name, **CLOSED))
    assert of(config(tmp_path, {**base, key: value}, name, **CLOSED)) != without


@pytest.mark.parametrize("entry", [True, False])
@pytest.mark.parametrize("node", [True, False])
@pytest.mark.parametrize("asked", ["whole", "default", None])
def test_an_entry_has_the_last_word_on_output_and_the_node_on_what_nobody_asked_for(
    tmp_path: Path, entry: bool, node: bool, asked: str | None
) -> None:
    policy = config(tmp_path, {"capture": entry}, default_capture=node, max_output_bytes=2**20)
    job = prepared(policy, capture=asked == "whole", default_capture=asked == "default")
    assert job.run.capture is (entry and asked == "whole")
    assert job.run.default_capture is (entry and node and asked == "default")
    if job.run.captures:
        most = 2**20 if job.run.capture else limits.MAX_DEFAULT_OUTPUT
        assert most * 0.99 < job.max_output_bytes <= most
    if job.run.default_capture:
        mark = f"\n... {2**63:,} bytes left out ...\n"
        assert job.max_output_bytes + len(mark) <= most, "the server has room for the mark"


def test_a_node_that_keeps_less_keeps_no_more_by_default(tmp_path: Path) -> None:
    policy = config(tmp_path, {}, max_output_bytes=1000)
    assert prepared(policy, default_capture=True).max_output_bytes == 1000


# --- all combinations of lists, entries and jobs: whether, and where, and as whom


def lists(kind: str) -> list[frozenset[str] | None]:
    allowed = {"env": "BRANCH", "dir": "/usr", "user": ANY_USER}[kind]
    return [None, frozenset(), frozenset({allowed})]


@pytest.mark.parametrize("allowed", lists("env"))
@pytest.mark.parametrize("widened", [[], ["BRANCH"], ["TAG"]])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("rename", [True, False])
def test_a_variable_keeps_its_name_where_list_or_entry_says_so(
    tmp_path: Path, allowed: frozenset[str] | None, widened: list[str], exact: bool, rename: bool
) -> None:
    policy = {**CLOSED, "allowed_overwritable_env_vars": allowed, "rename_env": rename}
    node = config(tmp_path, {"env": widened}, **policy)
    job = {"env": {"BRANCH": "main"}, "exact_env": exact}
    may = allowed is None or "BRANCH" in allowed or "BRANCH" in widened
    reason = refusal(node, **job)
    assert (reason is not None) is (not may and exact and not rename)
    if reason is None:
        env = prepared(node, **job).env
        assert env.get("BRANCH") == ("main" if may else None)
        assert env.get("CHEF_PUSH_ENV_BRANCH") == (None if may else "main")


@pytest.mark.parametrize("allowed", lists("dir"))
@pytest.mark.parametrize("entry", [{}, {"dir": "/usr"}, {"dirs": ["/usr"]}, {"dir": "/etc"}])
@pytest.mark.parametrize("asked", [None, "/usr", "/"])
def test_a_directory_is_chosen_where_list_or_entry_says_so(
    tmp_path: Path, allowed: frozenset[str] | None, entry: dict[str, Any], asked: str | None
) -> None:
    node = config(tmp_path, entry, **{**CLOSED, "allowed_dirs": allowed})
    mine = {entry.get("dir"), *entry.get("dirs", [])}
    may = asked is None or allowed is None or asked in allowed or asked in mine
    assert (refusal(node, dir=asked) is None) is may
    if may:
        assert prepared(node, dir=asked).directory == (asked or entry.get("dir", "/"))


@pytest.mark.skipif(not as_root, reason="only root can run jobs as other users")
@pytest.mark.parametrize("allowed", lists("user"))
@pytest.mark.parametrize("entry", [{}, {"user": ANY_USER}, {"user": "nobody"}])
@pytest.mark.parametrize("asked", [None, ANY_USER, "root"])
def test_a_user_is_chosen_where_list_or_entry_says_so(
    tmp_path: Path, allowed: frozenset[str] | None, entry: dict[str, Any], asked: str | None
) -> None:
    node = config(tmp_path, entry, **{**CLOSED, "allowed_users": allowed})
    wanted = asked or entry.get("user", "root")
    may = (
        wanted == entry.get("user")
        or allowed is None
        or wanted in allowed
        or (asked is None and not allowed)
    )
    assert (refusal(node, user=asked) is None) is may
    if may:
        job = prepared(node, user=asked)
        assert job.user.name == wanted
        assert job.env["USER"] == wanted or wanted == "root"
