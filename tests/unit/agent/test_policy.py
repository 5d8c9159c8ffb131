"""From commits to jobs that are ready to start, or to refusals that an operator understands."""

import os
from pathlib import Path
from typing import Any

import pytest

from pushcli import messages
from pushcli_agent.policy import PolicyConfig, PreparedJob, Refusal, prepare
from pushcli_agent.whitelist import Whitelist

JOB = "709e48adccab650bf6b33bd787c63734"


def policy(tmp_path: Path, **changes: Any) -> PolicyConfig:
    whitelist = Whitelist({"hello": "echo hello", "nul": "echo \0", "long": "x" * 131_072})
    values: dict[str, Any] = {"whitelist": whitelist, "file_dir": tmp_path / "files"}
    return PolicyConfig(**(values | changes))


def commit(**fields: Any) -> messages.Commit:
    values: dict[str, Any] = {"sequence": 1, "timestamp": "", "job_id": JOB, "command": "hello"}
    return messages.Commit(**(values | fields))


def prepared(tmp_path: Path, **fields: Any) -> PreparedJob:
    return prepare(commit(**fields), policy(tmp_path), "web01")


def refusal(tmp_path: Path, config: PolicyConfig | None = None, **fields: Any) -> str:
    with pytest.raises(Refusal) as refused:
        prepare(commit(**fields), config or policy(tmp_path), "web01")
    assert not (tmp_path / "files").exists()
    assert refused.value.reason.isprintable()
    return refused.value.reason


def test_a_commit_becomes_a_job_with_everything_its_command_needs(tmp_path: Path) -> None:
    job = prepared(
        tmp_path, capture=True, dir="/usr", env={"A": "1"}, file="raw:content", run_timeout=2.5
    )
    assert (job.job_id, job.command, job.cwd) == (JOB, "echo hello", "/usr")
    assert (job.capture, job.run_timeout, job.max_output_bytes) == (True, 2.5, 10 * 1024 * 1024)
    assert job.user.uid == os.geteuid()
    assert job.file is not None
    assert job.file.read_text() == "content"
    expected = {
        "A": "1",
        "CHEF_PUSH_NODE_NAME": "web01",
        "CHEF_PUSH_JOB_ID": JOB,
        "CHEF_PUSH_JOB_FILE": str(job.file),
        "PATH": os.environ["PATH"],
    }
    assert expected.items() <= job.env.items()


def test_a_job_that_asks_for_nothing_gets_nothing_more(tmp_path: Path) -> None:
    job = prepared(tmp_path)
    assert (job.cwd, job.capture, job.run_timeout, job.file) == ("/", False, None, None)
    assert "CHEF_PUSH_JOB_FILE" not in job.env
    assert not (tmp_path / "files").exists()


def test_a_job_cannot_set_the_agents_own_variables(tmp_path: Path) -> None:
    forged = dict.fromkeys(["CHEF_PUSH_NODE_NAME", "CHEF_PUSH_JOB_ID", "CHEF_PUSH_JOB_FILE"], "x")
    job = prepared(tmp_path, env=forged, file="raw:")
    assert "x" not in job.env.values()
    assert "CHEF_PUSH_JOB_FILE" not in prepared(tmp_path, env=forged).env


@pytest.mark.parametrize(
    "command",
    ["", None, "id", "hello;id", "hello ", "echo hello", "/bin/sh -c id", "hello\n", "\ud800"],
)
def test_what_is_not_on_the_whitelist_is_refused(tmp_path: Path, command: str | None) -> None:
    assert refusal(tmp_path, command=command).startswith("not on the whitelist: ")


@pytest.mark.parametrize("command", ["nul", "long"])
def test_a_command_that_no_shell_could_run_is_refused(tmp_path: Path, command: str) -> None:
    assert refusal(tmp_path, command=command) == (
        f"the whitelist's command for '{command}' cannot be run"
    )


@pytest.mark.parametrize(
    "job_id", [None, "", "../x", "..", "/etc", JOB.upper(), JOB + "0", JOB[:-1], JOB[:-1] + "\n"]
)
def test_an_id_that_is_no_job_id_never_becomes_a_path(tmp_path: Path, job_id: str | None) -> None:
    assert refusal(tmp_path, job_id=job_id) == "the commit has no valid job id"


@pytest.mark.parametrize(
    "directory",
    ["/no/such", "", ".", "tmp", "/etc/passwd", "/tmp\0", "/tmp\n", "/\ud800", "/" + "x" * 5000],
)
def test_a_directory_that_is_none_is_refused(tmp_path: Path, directory: str) -> None:
    assert refusal(tmp_path, dir=directory).startswith("no such directory: ")


def test_an_unknown_user_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, user="no-such-user") == "unknown user 'no-such-user'"


def test_a_user_who_is_not_allowed_is_refused(tmp_path: Path) -> None:
    config = policy(tmp_path, allowed_users=frozenset({"nobody"}))
    assert refusal(tmp_path, config, user="daemon") == "user daemon is not allowed"


def test_a_dangerous_variable_is_refused_unless_listed(tmp_path: Path) -> None:
    env = {"LD_PRELOAD": "/tmp/evil.so"}
    assert refusal(tmp_path, env=env) == "environment variable LD_PRELOAD is not allowed"
    config = policy(tmp_path, allowed_overwritable_env_vars=frozenset({"LD_PRELOAD"}))
    assert prepare(commit(env=env), config, "n").env["LD_PRELOAD"] == "/tmp/evil.so"


@pytest.mark.parametrize(
    ("file", "reason"),
    [("x", "file: it must start with raw: or base64:"), ("base64:*", "file: it is not base64")],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, file: str, reason: str) -> None:
    assert refusal(tmp_path, file=file).startswith(reason)


def test_a_job_that_is_refused_leaves_no_file(tmp_path: Path) -> None:
    for fields in ({"command": "id"}, {"user": "no-such"}, {"dir": "/no"}, {"env": {"IFS": "x"}}):
        refusal(tmp_path, file="raw:x", **fields)


def test_a_place_for_files_that_is_not_safe_refuses_the_job(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    config = policy(tmp_path, file_dir=tmp_path / "open")
    assert refusal(tmp_path, config, file="raw:x").startswith("file: ")
