import base64
import io
from pathlib import Path

import pytest

from pushcli.errors import UsageError
from pushcli.jobs.job_request import environment, job_request, parse_env, read_file
from pushcli.protocol.limits import MAX_FILE
from pushcli.protocol.run import RunSpec


def test_only_what_was_given_is_sent() -> None:
    assert job_request(RunSpec(command="uptime"), ["b", "a"]) == {
        "command": "uptime",
        "nodes": ["b", "a"],
    }


def test_all_that_can_be_given_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"\x00\xff")
    run = RunSpec(
        command="c", run_timeout=0.0, capture=True, env=parse_env('{"A": ""}'), dir="/", user="www",
        file=read_file(file),
    )  # fmt: skip
    request = job_request(run, ["a", "b", "c"], quorum="50%")
    assert request == {
        "command": "c", "nodes": ["a", "b", "c"], "quorum": 2, "run_timeout": 0, "user": "www",
        "dir": "/", "env": {"A": ""}, "file": "base64:AP8=", "capture_output": True,
    }  # fmt: skip


def test_what_only_our_server_knows_stands_apart() -> None:
    run = RunSpec(command="x", env={"A": ""}, exact_env=True)
    assert job_request(run, ["a"]) == {
        "command": "x", "nodes": ["a"], "env": {"A": ""}, "pushcli": {"exact_env": True},
    }  # fmt: skip


def test_a_node_named_twice_counts_once() -> None:
    request = job_request(RunSpec(command="x"), ["a", "b", "a"], quorum="50%")
    assert request["nodes"] == ["a", "b"]
    assert request["quorum"] == 1


@pytest.mark.parametrize("seconds", [30.0, 0.5])
def test_a_timeout_may_be_a_fraction(seconds: float) -> None:
    run = RunSpec(command="x", run_timeout=seconds)
    assert job_request(run, ["a"])["run_timeout"] == seconds


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '"A"', "null", '{"A": 1}', '{"A": null}', '{"A": {}}', '{"A": "1", "A": "2"}',
     "[" * 60_000],
)  # fmt: skip
def test_an_environment_is_an_object_of_strings_without_repeats(text: str) -> None:
    with pytest.raises(UsageError, match="--with-env"):
        parse_env(text)


def test_an_environment_keeps_its_values() -> None:
    assert parse_env('{"FOO": "bar", "FOOTWO": "x y"}') == {"FOO": "bar", "FOOTWO": "x y"}


def test_a_file_may_have_so_many_bytes_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"x" * MAX_FILE)
    assert base64.b64decode(read_file(file).removeprefix("base64:")) == b"x" * MAX_FILE
    file.write_bytes(b"x" * (MAX_FILE + 1))
    with pytest.raises(UsageError, match="100,000"):
        read_file(file)
    with pytest.raises(UsageError, match="/dev/zero is too large"):
        read_file(Path("/dev/zero"))


@pytest.mark.parametrize("size", [0, MAX_FILE, MAX_FILE + 1])
def test_a_file_comes_from_standard_input_within_the_same_bound(size: int) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"\xff" * size))
    if size <= MAX_FILE:
        assert base64.b64decode(read_file(Path("-"), stdin)[7:]) == b"\xff" * size
        return
    with pytest.raises(UsageError, match="standard input is too large"):
        read_file(Path("-"), stdin)


def test_standard_input_may_be_closed() -> None:
    with pytest.raises(UsageError, match="closed: name a file: --file FILE"):
        read_file(Path("-"), None)


def test_variables_come_one_by_one_and_as_json() -> None:
    assert environment(None, ()) is None
    assert environment("{}", ()) == {}
    assert environment('{"A": "1"}', ["B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}


@pytest.mark.parametrize("given", [["A"], ["=1"], ["A=1", "A=1"], ["B=1"]])
def test_a_variable_has_a_name_and_a_value_and_is_given_once(given: list[str]) -> None:
    with pytest.raises(UsageError):
        environment('{"B": "1"}', given)


def test_the_value_of_a_variable_is_in_no_error() -> None:
    with pytest.raises(UsageError) as raised:
        environment(None, ["A=secret", "A=secret"])
    assert "secret" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{tmp_path}/nosuch: No such file"):
        read_file(tmp_path / "nosuch")
