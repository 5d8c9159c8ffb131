"""What is to be run and how it ended, on the wire and back."""

import json
import math
from typing import Any

import msgspec
import pytest

from pushcli.protocol import extensions, messages, run_wire
from pushcli.protocol.run import Outcome, RunSpec
from tests.support import recordings

HEADER: dict[str, Any] = {"sequence": 1, "timestamp": ""}
NODE: dict[str, Any] = {**HEADER, "node": "a", "org": "o", "incarnation_id": "i"}
FULL = RunSpec(
    command="ls",
    run_timeout=2.5,
    user="www",
    dir="/srv",
    env={"A": "1"},
    file="raw:x",
    capture=True,
    exact_env=True,
    stdin="raw:in",
    secret_env={"TOKEN": "hidden"},
    default_capture=True,
)


def test_a_full_spec_names_every_option() -> None:
    default = RunSpec(command="")
    for field in msgspec.structs.fields(RunSpec):
        assert getattr(FULL, field.name) != getattr(default, field.name)


@pytest.mark.parametrize("spec", [FULL, RunSpec(command=""), RunSpec(command="x", env={})])
def test_a_commit_carries_the_whole_spec(spec: RunSpec) -> None:
    fields = run_wire.commit_fields(spec, extensions.ALL)
    commit = messages.decode_command(messages.encode(messages.Commit(**HEADER, **fields)))
    assert isinstance(commit, messages.Commit)
    assert run_wire.spec_of(commit, extensions.ALL) == spec


@pytest.mark.parametrize("capture", [True, False])
def test_a_commit_always_says_whether_to_capture(capture: bool) -> None:
    fields = run_wire.commit_fields(RunSpec(command="x", capture=capture), frozenset())
    body = json.loads(messages.encode(messages.Commit(**HEADER, job_id="1", server="s", **fields)))
    assert body == {
        "type": "commit", "sequence": 1, "timestamp": "", "job_id": "1", "server": "s",
        "command": "x", "capture": capture,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("agreed", "fields"),
    [
        (set(), {"capture": False}),
        ({extensions.RESULTS}, {"capture": False}),
        ({extensions.OUTPUT}, {"capture": True}),
        ({extensions.OUTPUT, extensions.CAPTURE}, {"capture": False, "default_capture": True}),
    ],
)
def test_what_is_captured_by_default_is_asked_of_those_that_can_say_it(
    agreed: set[str], fields: dict[str, bool]
) -> None:
    spec = RunSpec(command="x", default_capture=True)
    commit = run_wire.commit_fields(spec, frozenset(agreed))
    body = json.loads(messages.encode(messages.Commit(**HEADER, **commit)))
    assert {key: body[key] for key in body if "capture" in key} == fields
    assert run_wire.delivers(spec, frozenset(agreed)) is (extensions.OUTPUT in agreed)
    assert run_wire.delivers(RunSpec(command="x", capture=True), frozenset(agreed))
    assert not run_wire.delivers(RunSpec(command="x"), frozenset(agreed))


def test_rest_has_an_option_of_ours_for_it_that_older_servers_are_not_sent() -> None:
    spec = RunSpec(command="x", default_capture=True)
    request = {**run_wire.rest_fields(spec), "pushcli": run_wire.rest_options(spec)}
    assert request == {"command": "x", "pushcli": {"capture": "default"}}
    offered = frozenset({run_wire.JOB_OPTIONS, run_wire.DEFAULT_CAPTURE})
    assert run_wire.understood(request, offered) == request
    for less in offered:
        assert run_wire.understood(request, frozenset({less})) == {"command": "x"}


def test_commits_of_the_original_server_are_written_as_it_wrote_them() -> None:
    bodies = [json.loads(message.body) for message in recordings.messages()]
    # Those that were spoiled on purpose name no server.
    whole = [body for body in bodies if body.get("type") == "commit" and "server" in body]
    assert len(whole) >= 3
    for body in whole:
        commit = messages.decode_command(json.dumps(body).encode())
        assert isinstance(commit, messages.Commit)
        fields = run_wire.commit_fields(run_wire.spec_of(commit, frozenset()), frozenset())
        head = {key: body[key] for key in ("sequence", "timestamp", "job_id", "server")}
        assert json.loads(messages.encode(messages.Commit(**head, **fields))) == body


def test_a_commit_that_does_not_say_captures_nothing() -> None:
    commit = messages.decode_command(b'{"type":"commit","sequence":1,"timestamp":"","command":"x"}')
    assert isinstance(commit, messages.Commit)
    assert run_wire.spec_of(commit, frozenset()).capture is False


def test_what_was_not_agreed_is_neither_sent_nor_heeded() -> None:
    for name in ("run_timeout", "exact_env", "stdin", "secret_env"):
        assert name not in run_wire.commit_fields(FULL, frozenset())
    commit = messages.Commit(**HEADER, command="x", run_timeout=5.0)
    assert run_wire.spec_of(commit, frozenset()).run_timeout == math.inf
    assert run_wire.spec_of(commit, frozenset({extensions.TIMEOUT})).run_timeout == 5.0


def test_an_agent_that_cannot_give_a_command_its_input_is_not_to_run_it() -> None:
    assert run_wire.beyond(FULL, extensions.ALL) is None
    for needed in (extensions.STDIN, extensions.SECRETS):
        assert run_wire.beyond(FULL, extensions.ALL - {needed}) is not None
    assert run_wire.beyond(RunSpec(command="x", exact_env=True), frozenset()) is None


def test_a_server_is_sent_what_it_knows_of() -> None:
    options = {"exact_env": True, "batch": "0", "stdin": "raw:", "secret_env": {"A": "b"}}
    request = {"command": "x", "pushcli": options}
    knows = run_wire.understood
    assert knows(request, frozenset()) == {"command": "x"}
    assert knows(request, frozenset({"job-options"}))["pushcli"] == {"exact_env": True}
    assert knows(request, frozenset({"job-options", "batches", "secrets", "stdin"})) == request


def test_a_commit_without_a_time_limit_has_none() -> None:
    commit = messages.Commit(**HEADER, command="x")
    assert run_wire.spec_of(commit, extensions.ALL).run_timeout == math.inf


def test_a_result_carries_how_the_command_ended() -> None:
    outcome = Outcome(exit_code=3, signal=9, timed_out=True, started_at=1.0, ended_at=2.0)
    result = messages.Failed(**NODE, **run_wire.result_fields(outcome), stdout_size=7)
    assert run_wire.outcome_of(result) == msgspec.structs.replace(outcome, stdout_size=7)


def test_a_result_tells_of_what_was_cut_short_only_where_that_was_agreed() -> None:
    outcome = Outcome(aborted=True, lost=True, stdout_dropped=3, stderr_dropped=4)
    result = messages.Failed(**NODE, **run_wire.result_fields(outcome))
    assert run_wire.outcome_of(result) == outcome
    assert run_wire.result_fields(outcome, partial=False).keys() == {
        "exit_code", "signal", "timed_out", "started_at", "ended_at",
    }  # fmt: skip


def test_rest_names_what_was_given_and_the_command() -> None:
    assert run_wire.rest_fields(RunSpec(command="")) == {"command": ""}
    assert run_wire.rest_fields(FULL) == {
        "command": "ls", "run_timeout": 2.5, "user": "www", "dir": "/srv", "env": {"A": "1"},
        "file": "raw:x", "capture_output": True,
    }  # fmt: skip
    assert run_wire.rest_options(FULL) == {
        "exact_env": True, "stdin": "raw:in", "secret_env": {"TOKEN": "hidden"},
        "capture": "default",
    }  # fmt: skip
    assert run_wire.rest_options(RunSpec(command="")) == {}
    empty = RunSpec(command="x", run_timeout=0, user="", env={})
    assert run_wire.rest_fields(empty) == {"command": "x", "run_timeout": 0, "user": "", "env": {}}


def test_a_check_asks_about_a_job_of_ours() -> None:
    check = messages.Check(**HEADER, check_id="c", command="x", user="www", dir="/", env={"A": "1"})
    assert run_wire.spec_of_check(check) == RunSpec(
        command="x", user="www", dir="/", env={"A": "1"}, exact_env=True
    )


def test_whole_seconds_have_no_fraction_in_rest() -> None:
    fields = run_wire.rest_fields(RunSpec(command="x", run_timeout=30.0))
    assert repr(fields["run_timeout"]) == "30"
