"""From commits to jobs that are ready to start, or to refusals that an operator understands."""

import math
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pushcli.protocol.run import RunSpec
from pushcli.whitelist.entry import parse
from pushcli_agent.running import exec_limits
from pushcli_agent.running.policy import PolicyConfig, PreparedJob, Refusal, explain, prepare
from pushcli_agent.whitelist.merged import MergedWhitelist
from tests.support.descriptors import open_descriptors

JOB = "709e48adccab650bf6b33bd787c63734"
ENTRIES: dict[str, Any] = {
    "hello": "echo hello",
    "/say (.*)/": r"echo \1",
    "/list (.*)/": ["ls", r"\1"],
    "argv": ["ls", "-l"],
    "locked": {"command_line": "true", "lock": True},
    "ann's": {"command_line": "true", "operators": ["ann", "bob"]},
    "short": {"command_line": "true", "timeout": 5},
}


def policy(tmp_path: Path, **changes: Any) -> PolicyConfig:
    values: dict[str, Any] = {
        "whitelist": MergedWhitelist(
            {name: parse(name, ENTRIES[name], local=True) for name in ENTRIES}
        ),
        "file_dir": tmp_path / "files",
        "lock_dir": tmp_path / "locks",
    }
    return PolicyConfig(**(values | changes))


def asked(**fields: Any) -> RunSpec:
    return RunSpec(**{"command": "hello", "run_timeout": math.inf, **fields})


def prepared(
    tmp_path: Path,
    config: PolicyConfig | None = None,
    *,
    job_id: str = JOB,
    requestor: str | None = None,
    **fields: Any,
) -> PreparedJob:
    config = config or policy(tmp_path)
    return prepare(job_id, asked(**fields), config, node="web01", requestor=requestor)


def refusal(tmp_path: Path, config: PolicyConfig | None = None, **fields: Any) -> str:
    with pytest.raises(Refusal) as refused:
        prepared(tmp_path, config, **fields)
    assert not (tmp_path / "files").exists()
    assert refused.value.reason.isprintable()
    return refused.value.reason


def test_a_commit_becomes_a_job_with_everything_its_command_needs(tmp_path: Path) -> None:
    job = prepared(
        tmp_path, capture=True, dir="/usr", env={"A": "1"}, file="raw:content", run_timeout=2.5
    )
    assert (job.job_id, job.command, job.directory) == (JOB, "echo hello", "/usr")
    assert (job.run.capture, job.run.run_timeout) == (True, 2.5)
    assert job.max_output_bytes == 10 * 1024 * 1024
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
    assert (job.directory, job.run.capture, job.file) == ("/", False, None)
    assert job.run.run_timeout == math.inf
    assert "CHEF_PUSH_JOB_FILE" not in job.env
    assert not (tmp_path / "files").exists()


def test_a_job_cannot_set_the_agents_own_variables(tmp_path: Path) -> None:
    forged = dict.fromkeys(["CHEF_PUSH_NODE_NAME", "CHEF_PUSH_JOB_ID", "CHEF_PUSH_JOB_FILE"], "x")
    job = prepared(tmp_path, env=forged, file="raw:")
    assert "x" not in job.env.values()
    assert "CHEF_PUSH_JOB_FILE" not in prepared(tmp_path, env=forged).env


@pytest.mark.parametrize(
    "command",
    ["", "id", "hello;id", "hello ", "echo hello", "/bin/sh -c id", "hello\n", "\ud800"],
)
def test_what_is_not_on_the_whitelist_is_refused(tmp_path: Path, command: str) -> None:
    assert refusal(tmp_path, command=command).startswith("not on the whitelist: ")


def test_an_entry_that_is_refused_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    config = policy(tmp_path, whitelist=MergedWhitelist(refused={"deploy": "unsigned"}))
    why = "its entry 'deploy' is not in force: unsigned"
    assert refusal(tmp_path, config, command="deploy") == why


@pytest.mark.parametrize("command", ["say " + "x" * 131_072, "list " + "x" * 131_072])
def test_a_command_that_nobody_could_run_is_refused(tmp_path: Path, command: str) -> None:
    assert refusal(tmp_path, command=command) == (
        f"the whitelist's command for '{command[:128]}' cannot be run"
    )


@pytest.mark.parametrize("text", ["x" * 131_070, "x" * 200_000, "\u20ac" * 43_690])
def test_a_variable_that_no_program_could_have_is_refused(tmp_path: Path, text: str) -> None:
    refused = refusal(tmp_path, env={"A": text}, file="raw:content")
    assert refused == (
        f"environment variable A is too long: with its name {len(text.encode()) + 2:,} bytes, "
        "of at most 131,071"
    )
    with pytest.raises(Refusal, match="environment variable A is too long"):
        explain(asked(env={"A": text}), policy(tmp_path), requestor=None)


def test_a_variable_that_is_refused_for_its_name_says_that_name_alone(tmp_path: Path) -> None:
    refused = refusal(tmp_path, env={"N" * 131_071: ""})
    assert refused.startswith(f"environment variable {'N' * 64} is too long")


def test_variables_that_are_too_much_together_are_refused(tmp_path: Path) -> None:
    most = exec_limits.total()
    env = {f"A{number}": "x" * 100_000 for number in range(most // 100_000 + 1)}
    assert refusal(tmp_path, env=env).startswith("command and environment are too long: ")
    # Many small ones, which take more beside their text than in it.
    env = {f"A{number}": "" for number in range(most // 12)}
    assert refusal(tmp_path, env=env).startswith("command and environment are too long: ")


@pytest.mark.parametrize(
    "env",
    [
        {"A": "x" * 131_069},
        {f"A{number}": "x" * 100_000 for number in range(exec_limits.total() // 100_000 - 2)},
        {f"A{number:07}": "" for number in range(exec_limits.total() // 18 - 6_000)},
    ],
)
def test_as_much_as_a_program_can_have_is_taken_and_runs(
    tmp_path: Path, env: dict[str, str]
) -> None:
    job = prepared(tmp_path, env=env)
    assert isinstance(job.command, str)
    # The kernel counts the same; a shell would take half a minute to read that many variables.
    subprocess.run(["/bin/sh", "-c", job.command], executable="/bin/true", env=job.env, check=True)


def test_an_argument_list_stays_one(tmp_path: Path) -> None:
    assert prepared(tmp_path, command="argv").command == ("ls", "-l")
    assert prepared(tmp_path, command="list a b").command == ("ls", "a b")
    assert prepared(tmp_path, command="say a b").command == (
        "/bin/sh", "-c", 'echo "${1}"', "sh", "a b",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "timeout"), [(math.inf, 5.0), (2.5, 2.5), (5.0, 5.0), (60.0, 5.0)]
)
def test_the_entry_s_timeout_is_an_upper_bound(
    tmp_path: Path, limit: float, timeout: float
) -> None:
    assert prepared(tmp_path, command="short", run_timeout=limit).run.run_timeout == timeout


def test_an_entry_for_operators_is_for_nobody_else(tmp_path: Path) -> None:
    assert prepared(tmp_path, command="ann's", requestor="bob").command == "true"
    for requestor, who in ((None, "unknown"), ("carol", "'carol'"), ("Ann", "'Ann'")):
        assert refusal(tmp_path, command="ann's", requestor=requestor) == (
            f"the requestor ({who}) is not among the entry's operators"
        )


# --- locks


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    job = prepared(tmp_path, command="locked")
    [file] = (tmp_path / "locks").iterdir()
    assert file.name.startswith("locked-")
    assert file.stat().st_mode & 0o777 == 0o600
    assert refusal(tmp_path, command="locked") == "lock: held by another process"
    assert subprocess.run(["flock", "-n", file, "true"], check=False).returncode == 1
    job.release()
    prepared(tmp_path, command="locked").release()


def test_a_job_that_is_refused_holds_no_lock(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    config = policy(tmp_path, file_dir=tmp_path / "open")
    refusal(tmp_path, config, command="locked", file="raw:x")
    refusal(tmp_path, command="locked", dir="/no")
    prepared(tmp_path, command="locked").release()


# --- what would be run


def explained(
    tmp_path: Path, requestor: str | None = None, **fields: Any
) -> tuple[object, str, str]:
    found = explain(asked(**fields), policy(tmp_path), requestor=requestor)
    return found.command, found.entry.name, found.source


def test_an_explanation_tells_what_would_run_by_which_entry(tmp_path: Path) -> None:
    shell = ("/bin/sh", "-c", 'echo "${1}"', "sh", "$x")
    assert explained(tmp_path, command="say $x") == (shell, "/say (.*)/", "local")
    assert explained(tmp_path, command="argv") == (("ls", "-l"), "argv", "local")
    assert explained(tmp_path, command="ann's", requestor="ann")[1] == "ann's"


def test_an_explanation_touches_nothing(tmp_path: Path) -> None:
    explained(tmp_path, command="locked", file="raw:x")
    assert list(tmp_path.iterdir()) == []
    prepared(tmp_path, command="locked").release()
    explained(tmp_path, command="locked")
    prepared(tmp_path, command="locked").release()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"command": "id"}, "not on the whitelist"),
        ({"user": "no-such-user"}, "unknown user"),
        ({"dir": "/no"}, "no such directory"),
        ({"file": "x"}, "file: "),
        ({"env": {"IFS": "x"}}, "environment variable"),
        ({"command": "ann's"}, "the requestor"),
        ({"command": "locked"}, "lock: held by another process"),
    ],
)
def test_an_explanation_is_refused_like_a_job(
    tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    held = prepared(tmp_path, command="locked")
    with pytest.raises(Refusal) as refused:
        explained(tmp_path, **fields)
    held.release()
    assert refused.value.reason.startswith(reason)


@pytest.mark.parametrize(
    "job_id", ["", "../x", "..", "/etc", JOB.upper(), JOB + "0", JOB[:-1], JOB[:-1] + "\n"]
)
def test_an_id_that_is_no_job_id_never_becomes_a_path(tmp_path: Path, job_id: str) -> None:
    assert refusal(tmp_path, job_id=job_id) == "invalid job id in the commit"


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
    assert refusal(tmp_path, config, user="daemon").startswith("user daemon is not allowed: ")


def test_a_dangerous_variable_is_refused_unless_listed(tmp_path: Path) -> None:
    env = {"LD_PRELOAD": "/tmp/evil.so"}
    assert refusal(tmp_path, env=env) == "environment variable LD_PRELOAD is not allowed"
    config = policy(tmp_path, allowed_overwritable_env_vars=frozenset({"LD_PRELOAD"}))
    assert prepared(tmp_path, config, env=env).env["LD_PRELOAD"] == "/tmp/evil.so"


@pytest.mark.parametrize(
    ("file", "reason"),
    [("x", "file: it must start with raw: or base64:"), ("base64:*", "file: it is not base64")],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, file: str, reason: str) -> None:
    assert refusal(tmp_path, file=file).startswith(reason)


def test_a_job_that_is_refused_leaves_no_file(tmp_path: Path) -> None:
    for fields in ({"command": "id"}, {"user": "no-such"}, {"dir": "/no"}, {"env": {"IFS": "x"}}):
        refusal(tmp_path, file="raw:x", **fields)


def test_a_job_that_is_refused_leaves_no_descriptor_open(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    config = policy(tmp_path, file_dir=tmp_path / "open", allowed_dirs=frozenset({"/usr"}))
    before = open_descriptors()
    refusal(tmp_path, config, command="locked", dir="/usr", file="raw:x")
    held = prepared(tmp_path, config, command="locked", dir="/usr")
    with pytest.raises(Refusal, match="lock: held"):
        prepared(tmp_path, config, command="locked", dir="/usr")
    held.release()
    explain(asked(dir="/usr"), config, requestor=None)
    assert open_descriptors() == before


def test_a_place_for_files_that_is_not_safe_refuses_the_job(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    config = policy(tmp_path, file_dir=tmp_path / "open")
    assert refusal(tmp_path, config, file="raw:x").startswith("file: ")
