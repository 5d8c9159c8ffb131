"""Results and output, in time, again and too late, as scripts over a fleet."""

import base64
from typing import Any

import pytest

from pushcli.protocol import messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core import results
from pushcli_server.core.fleet_events import AppendOutput, Gathered, SaveLateResult, StoreOutput
from pushcli_server.core.states import NodeState
from tests.unit.server.core.fleet_script import JOB, A, B, Script, of, sent


def capturing() -> Script:
    fleet = Script()
    fleet.run(A, capture=True)
    return fleet


def chunk(fleet: Script, offset: int, data: bytes, channel: str = "stdout") -> list[Any]:
    return fleet.hear(
        A,
        messages.Output,
        job_id=JOB.id,
        channel=channel,
        offset=offset,
        data=base64.b64encode(data).decode(),
    )


def result(
    fleet: Script, kind: type[messages.Result] = messages.Succeeded, **more: Any
) -> list[Any]:
    return fleet.hear(A, kind, job_id=JOB.id, **{"spooled": True, **more})


def acknowledged(effects: list[Any]) -> list[int]:
    """The sizes that the agent is told are held."""
    sends = of(on_fleet.Send, effects)
    return [e.fields["size"] for e in sends if e.kind is messages.AckOutput]


def test_chunks_are_gathered_in_order_and_acknowledged() -> None:
    fleet = capturing()
    first = chunk(fleet, 0, b"abc")
    assert of(AppendOutput, first) == [AppendOutput(JOB, "a", "stdout", 0, b"abc")]
    assert acknowledged(first) == [3]
    assert acknowledged(chunk(fleet, 3, b"d")) == [4]


def test_a_chunk_is_acknowledged_only_once_it_is_stored() -> None:
    fleet = capturing()
    fleet.slow_store = True
    assert acknowledged(chunk(fleet, 0, b"abc")) == []
    fleet.commit()
    assert acknowledged(fleet.done) == [3]


@pytest.mark.parametrize("offset", [0, 2, 4, 2**62])
def test_a_chunk_that_is_not_the_next_is_not_kept(offset: int) -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abc")
    effects = chunk(fleet, offset, b"x")
    assert not of(AppendOutput, effects)
    assert acknowledged(effects) == [3]


def test_channels_are_apart() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abc")
    assert acknowledged(chunk(fleet, 0, b"e", "stderr")) == [1]


def test_what_is_no_base64_is_not_kept() -> None:
    fleet = capturing()
    bad = {"channel": "stdout", "offset": 0, "data": "%%%"}
    effects = fleet.hear(A, messages.Output, job_id=JOB.id, **bad)
    assert (of(AppendOutput, effects), acknowledged(effects)) == ([], [0])


def test_output_beyond_its_cap_is_not_kept_but_the_agent_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(results, "MAX_OUTPUT", 5)
    fleet = capturing()
    assert of(AppendOutput, chunk(fleet, 0, b"12345"))
    effects = chunk(fleet, 5, b"6")
    assert not of(AppendOutput, effects)
    assert acknowledged(effects) == [6]


def test_nothing_is_gathered_for_a_job_that_does_not_capture() -> None:
    fleet = Script()
    fleet.run(A)
    effects = chunk(fleet, 0, b"abc")
    assert (of(AppendOutput, effects), acknowledged(effects)) == ([], [3])


def test_nothing_is_gathered_of_a_node_whose_part_is_over() -> None:
    fleet = Script()
    fleet.run(A, B, capture=True)
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    assert fleet.state(B) is NodeState.RUNNING
    effects = chunk(fleet, 0, b"abc")
    assert (of(AppendOutput, effects), acknowledged(effects)) == ([], [3])


def test_a_result_with_its_output_is_stored_then_acknowledged() -> None:
    fleet = capturing()
    fleet.slow_store = True
    effects = result(fleet, stdout_base64="aGk=", stderr_base64="", exit_code=0)
    [stored] = of(StoreOutput, effects)
    assert (stored.stdout, stored.stderr) == (b"hi", b"")
    assert fleet.state(A) is NodeState.SUCCEEDED
    assert sent(effects, A) == []
    fleet.commit()
    assert sent(fleet.done, A)[-1] is messages.AckResult
    saves = [type(e) for e in effects]
    assert saves.index(StoreOutput) < saves.index(on_fleet.OnceDurable)


def test_a_result_whose_output_was_gathered_takes_it_over() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abc")
    [stored] = of(StoreOutput, result(fleet, stdout_size=3, stderr_size=0))
    assert (stored.stdout, stored.stderr) == (Gathered(), b"")
    assert fleet.job.held == {}


def test_a_result_that_is_ahead_of_its_output_waits_and_the_rest_is_asked_for() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abc")
    effects = result(fleet, stdout_size=5, stderr_size=0)
    assert fleet.state(A) is NodeState.RUNNING
    assert acknowledged(effects) == [3]
    assert messages.AckResult not in sent(effects, A)
    chunk(fleet, 3, b"de")
    result(fleet, stdout_size=5, stderr_size=0)
    assert fleet.state(A) is NodeState.SUCCEEDED


def test_texts_of_an_old_agent_are_stored() -> None:
    fleet = capturing()
    effects = result(fleet, spooled=False, stdout="h\ud83d", stderr="")
    [stored] = of(StoreOutput, effects)
    assert stored.stdout == "h\ud83d".encode("utf-8", "surrogatepass")
    assert messages.AckResult not in sent(effects, A)


def test_a_repeat_is_acknowledged_and_changes_nothing() -> None:
    fleet = capturing()
    result(fleet, stdout_base64="aGk=", stderr_base64="")
    effects = result(fleet, messages.Failed, stdout_base64="bm8=", stderr_base64="")
    assert sent(effects, A) == [messages.AckResult]
    assert not of(StoreOutput, effects)
    assert not of(SaveLateResult, effects)
    assert not of(on_fleet.SaveJobNodes, effects)


def ended_without(fleet: Script) -> None:
    fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    assert fleet.state(A) is NodeState.ABORTED


def test_a_late_result_is_kept_beside_the_state_that_stays() -> None:
    fleet = capturing()
    ended_without(fleet)
    effects = result(fleet, exit_code=0, stdout_base64="aGk=", stderr_base64="")
    [late] = of(SaveLateResult, effects)
    assert (late.job, late.node, late.succeeded, late.outcome.exit_code) == (JOB, "a", True, 0)
    assert of(StoreOutput, effects)
    assert not of(on_fleet.SaveJobNodes, effects)
    assert messages.AckResult in sent(effects, A)


def test_a_late_result_is_not_held_up_by_output_that_nobody_gathers_any_more() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abc")
    ended_without(fleet)
    assert acknowledged(chunk(fleet, 3, b"de")) == [5]
    effects = result(fleet, stdout_size=5, stderr_size=0)
    assert acknowledged(effects) == []
    assert messages.AckResult in sent(effects, A)
    assert of(SaveLateResult, effects)


def test_of_a_late_result_of_a_job_that_does_not_capture_no_output_is_kept() -> None:
    fleet = Script()
    fleet.run(A)
    ended_without(fleet)
    effects = result(fleet, stdout_base64="aGk=", stderr_base64="")
    assert not of(StoreOutput, effects)
    assert of(SaveLateResult, effects)


def test_a_result_of_a_node_that_has_no_part_in_the_job_is_looked_up() -> None:
    fleet = capturing()
    fleet.bring(B)
    effects = fleet.hear(B, messages.Succeeded, job_id=JOB.id, spooled=True)
    assert [e.node for e in of(on_fleet.FindPart, effects)] == [B]
    assert fleet.job.nodes.keys() == {"a"}


def found(state: NodeState | None, **more: Any) -> on_fleet.PartFound:
    message = messages.Failed(
        node="a", org="acme", incarnation_id="i", job_id=JOB.id, sequence=1, timestamp="",
        spooled=True, exit_code=3, stdout_size=2, stderr_size=0,
    )  # fmt: skip
    return on_fleet.PartFound(node=A, message=message, state=state, capture=True, **more)


def late(state: NodeState | None, **more: Any) -> list[Any]:
    fleet = Script()
    fleet.bring(A)
    return fleet.tell(found(state, **more))


def test_a_result_for_a_job_that_is_not_live_is_looked_up() -> None:
    fleet = Script()
    fleet.bring(A)
    effects = result(fleet)
    assert [e.node for e in of(on_fleet.FindPart, effects)] == [A]
    assert messages.AckResult not in sent(effects, A)


@pytest.mark.parametrize("state", [NodeState.SUCCEEDED, NodeState.FAILED])
def test_a_late_result_never_overwrites_a_reported_one(state: NodeState) -> None:
    effects = late(state)
    assert not of(SaveLateResult, effects)
    assert not of(StoreOutput, effects)
    assert sent(effects, A) == [messages.AckResult]


@pytest.mark.parametrize("state", [NodeState.CRASHED, NodeState.TIMED_OUT, NodeState.ABORTED])
def test_a_result_of_an_old_job_is_kept_with_what_was_gathered(state: NodeState) -> None:
    effects = late(state, held={"stdout": 2})
    [kept] = of(SaveLateResult, effects)
    assert (kept.succeeded, kept.outcome.exit_code) == (False, 3)
    assert [e.stdout for e in of(StoreOutput, effects)] == [Gathered()]
    assert sent(effects, A) == [messages.AckResult]


def test_a_result_for_nobodys_job_is_acknowledged_so_that_it_is_not_repeated() -> None:
    effects = late(None)
    assert not of(SaveLateResult, effects)
    assert sent(effects, A) == [messages.AckResult]
