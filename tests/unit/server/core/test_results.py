"""Results and output, in time, again and too late, as scripts over a fleet."""

import base64
from typing import Any

import msgspec
import pytest

from pushcli.protocol import extensions, limits, messages
from pushcli.protocol.run import OutputChannel
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core import gathering, output, results
from pushcli_server.core.fleet_events import (
    AppendOutput,
    BeginTail,
    Gathered,
    JoinTail,
    SaveLateResult,
    StoreOutput,
)
from pushcli_server.core.gathering import Gathering
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.states import NodeState
from tests.unit.server.core.fleet_script import JOB, RULES, A, B, Script, of, restarted, sent


def capturing() -> Script:
    fleet = Script()
    fleet.run(A, capture=True)
    return fleet


def chunk(
    fleet: Script, offset: int, data: bytes, channel: str = "stdout", **more: Any
) -> list[Any]:
    return fleet.hear(
        A,
        messages.Output,
        job_id=JOB.id,
        channel=channel,
        offset=offset,
        data=base64.b64encode(data).decode(),
        **more,
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


def test_a_node_that_does_not_wait_for_the_store_is_not_gathered_without_end() -> None:
    fleet = capturing()
    fleet.slow_store = True
    size, kept = 48_000, 0
    for number in range(2 * output.MAX_UNSTORED // size):
        effects = chunk(fleet, number * size, bytes(size))
        kept += sum(len(effect.data) for effect in of(AppendOutput, effects))
    assert output.MAX_UNSTORED - size < kept <= output.MAX_UNSTORED
    fleet.commit()
    assert acknowledged(fleet.done)[-1] == kept
    # From there it goes on.
    assert of(AppendOutput, chunk(fleet, kept, b"more"))


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
    monkeypatch.setattr(gathering, "MAX_OUTPUT", 5)
    fleet = capturing()
    assert of(AppendOutput, chunk(fleet, 0, b"12345"))
    effects = chunk(fleet, 5, b"6")
    assert not of(AppendOutput, effects)
    assert acknowledged(effects) == [6]
    # Its end is asked for, as far as there is room for it.
    asked = result(fleet, stdout_size=6, stderr_size=0)
    assert (of(BeginTail, asked), acknowledged(asked)) == ([BeginTail(JOB, "a", "stdout", 3)], [4])
    last = AppendOutput(JOB, "a", "stdout", 0, b"56", tail=True)
    assert of(AppendOutput, chunk(fleet, 4, b"56")) == [last]
    stored = result(fleet, stdout_size=6, stderr_size=0)
    mark = b"\n... 1 bytes left out ...\n"
    assert of(JoinTail, stored) == [JoinTail(JOB, "a", "stdout", 3, mark)]
    [kept] = of(StoreOutput, stored)
    assert (kept.stdout, kept.stdout_dropped) == (Gathered(5 + len(mark)), 1)
    assert kept.stdout_cut_at == 3


def test_an_output_that_just_fits_is_kept_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "MAX_OUTPUT", 5)
    fleet = capturing()
    effects = chunk(fleet, 0, b"12345")
    assert of(AppendOutput, effects) == [AppendOutput(JOB, "a", "stdout", 0, b"123")]
    assert acknowledged(effects) == [5]
    assert acknowledged(result(fleet, stdout_size=5, stderr_size=0)) == [3]
    chunk(fleet, 3, b"45")
    stored = result(fleet, stdout_size=5, stderr_size=0)
    assert of(JoinTail, stored) == [JoinTail(JOB, "a", "stdout", 3, b"")]
    [kept] = of(StoreOutput, stored)
    assert (kept.stdout, kept.stdout_dropped, kept.stdout_cut_at) == (Gathered(5), 0, None)


@pytest.mark.parametrize("inline", [True, False])
def test_of_what_nobody_asked_for_little_is_kept_whatever_a_node_sends(inline: bool) -> None:
    fleet = Script()
    fleet.run(A, default_capture=True)
    size, most = 100_000, limits.MAX_DEFAULT_OUTPUT
    if inline:
        stored = result(fleet, stdout_base64=base64.b64encode(bytes(size)).decode())
    else:
        appended = of(AppendOutput, chunk(fleet, 0, bytes(size)))
        assert [len(effect.data) for effect in appended] == [most // 2]
        assert acknowledged(result(fleet, stdout_size=size, stderr_size=0)) == [size - most // 2]
        chunk(fleet, size - most // 2, bytes(most // 2))
        stored = result(fleet, stdout_size=size, stderr_size=0)
    [kept] = of(StoreOutput, stored)
    mark = len("\n... 34,464 bytes left out ...\n")
    at = kept.stdout.size if isinstance(kept.stdout, Gathered) else len(kept.stdout or b"")
    assert (at, kept.stdout_dropped) == (most + mark, size - most)


@pytest.mark.parametrize("when", ["in time", "late"])
def test_what_an_old_agent_sends_unasked_is_not_kept(when: str) -> None:
    fleet = Script()
    fleet.run(A, offered=extensions.ALL - {extensions.OUTPUT}, default_capture=True)
    if when == "late":
        fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    assert not of(AppendOutput, chunk(fleet, 0, b"abc"))
    assert not of(StoreOutput, result(fleet, stdout="abc", stderr=""))


def test_nothing_is_gathered_for_a_job_that_does_not_capture() -> None:
    fleet = Script()
    fleet.run(A)
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
    assert (stored.stdout, stored.stderr) == (Gathered(3), b"")
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


def test_what_came_of_the_output_is_kept_when_the_part_ends_without_a_result() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abc")
    ended_without(fleet)
    [kept] = of(StoreOutput, fleet.done)
    assert (kept.stdout, kept.stderr, kept.stdout_dropped) == (Gathered(3), None, 0)
    assert fleet.job.held == {}


def test_nothing_is_kept_where_nothing_came() -> None:
    fleet = capturing()
    ended_without(fleet)
    assert not of(StoreOutput, fleet.done)


def test_the_output_of_an_aborted_command_is_gathered_from_its_beginning() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abc")
    ended_without(fleet)
    assert acknowledged(chunk(fleet, 3, b"de")) == [0]
    assert acknowledged(chunk(fleet, 0, b"abc")) == [3]
    ahead = result(fleet, messages.Failed, aborted=True, stdout_size=5, stderr_size=0)
    assert acknowledged(ahead) == [3]
    assert messages.AckResult not in sent(ahead, A)
    assert acknowledged(chunk(fleet, 3, b"de")) == [5]
    effects = result(fleet, messages.Failed, aborted=True, stdout_size=5, stderr_size=0)
    [kept] = of(StoreOutput, effects)
    assert (kept.stdout, kept.stderr) == (Gathered(5), b"")
    [late] = of(SaveLateResult, effects)
    assert late.outcome.aborted
    assert sent(effects, A) == [messages.AckResult]
    assert fleet.fleet.late == {}
    again = result(fleet, messages.Failed, aborted=True, stdout_size=5, stderr_size=0)
    assert (of(SaveLateResult, again), of(StoreOutput, again)) == ([], [])
    assert sent(again, A) == [messages.AckResult]


def test_the_output_of_a_crashed_node_that_comes_back_is_gathered_while_others_go_on() -> None:
    fleet = Script()
    fleet.run(A, B, capture=True)
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    assert (fleet.state(A), fleet.state(B)) == (NodeState.CRASHED, NodeState.RUNNING)
    assert of(AppendOutput, chunk(fleet, 0, b"abc"))
    effects = result(fleet, stdout_size=3, stderr_size=0)
    assert [kept.stdout for kept in of(StoreOutput, effects)] == [Gathered(3)]
    assert fleet.state(A) is NodeState.CRASHED


def test_output_goes_on_when_its_job_is_forgotten_meanwhile() -> None:
    fleet = capturing()
    ended_without(fleet)
    chunk(fleet, 0, b"abc")
    fleet.wait(10)
    assert fleet.fleet.job(JOB) is None
    fleet.bring(A)
    assert acknowledged(chunk(fleet, 3, b"de")) == [5]
    [asked] = of(on_fleet.FindPart, result(fleet, stdout_size=5, stderr_size=0))
    effects = fleet.tell(
        on_fleet.PartFound(
            node=A, message=asked.message, state=NodeState.ABORTED, capture=True, held={}
        )
    )
    assert [kept.stdout for kept in of(StoreOutput, effects)] == [Gathered(5)]


def test_an_old_agent_is_not_asked_for_output_that_is_late() -> None:
    fleet = Script()
    old = extensions.ALL - {extensions.PARTIAL}
    fleet.bring(A, offered=old)
    fleet.start(A, capture=True)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    fleet.hear(A, messages.AckRun, job_id=JOB.id)
    chunk(fleet, 0, b"abc")
    ended_without(fleet)
    assert acknowledged(chunk(fleet, 3, b"de")) == [5]
    effects = result(fleet, stdout_size=5, stderr_size=0)
    assert acknowledged(effects) == []
    assert messages.AckResult in sent(effects, A)
    assert of(SaveLateResult, effects)


@pytest.mark.parametrize("kind", [messages.Failed, messages.Succeeded])
def test_a_repeat_of_a_reported_timeout_is_no_late_result(kind: type[messages.Result]) -> None:
    fleet = Script()
    fleet.run(A, B, capture=True)
    result(fleet, messages.Failed, timed_out=True, stdout_base64="aGk=", stderr_base64="")
    assert fleet.state(A) is NodeState.TIMED_OUT
    effects = result(fleet, kind, timed_out=True, stdout_base64="aGk=", stderr_base64="")
    assert (of(SaveLateResult, effects), of(StoreOutput, effects)) == ([], [])
    assert sent(effects, A) == [messages.AckResult]


def test_a_command_that_lost_its_supervisor_crashed_and_its_output_is_kept() -> None:
    fleet = capturing()
    effects = result(fleet, messages.Failed, lost=True, stdout_base64="aGk=", stderr_base64="")
    assert fleet.state(A) is NodeState.CRASHED
    [change] = of(on_fleet.SaveJobNodes, effects)[-1].changes
    assert change.reason is not None
    assert "supervisor" in change.reason
    assert [kept.stdout for kept in of(StoreOutput, effects)] == [b"hi"]
    assert sent(effects, A) == [messages.AckResult]
    assert fleet.job.status == "complete"


def test_what_the_agent_could_not_keep_is_told() -> None:
    fleet = capturing()
    effects = result(fleet, stdout_base64="aGk=", stderr_base64="", stderr_dropped=7)
    [kept] = of(StoreOutput, effects)
    assert (kept.stdout_dropped, kept.stderr_dropped) == (0, 7)


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
    effects = late(state, reported=True)
    assert not of(SaveLateResult, effects)
    assert not of(StoreOutput, effects)
    assert sent(effects, A) == [messages.AckResult]


def test_a_late_result_is_kept_once() -> None:
    effects = late(NodeState.TIMED_OUT, reported=True)
    assert (of(SaveLateResult, effects), of(StoreOutput, effects)) == ([], [])
    assert sent(effects, A) == [messages.AckResult]


def found_chunk(fleet: Script, state: NodeState | None, **more: Any) -> list[Any]:
    """A chunk of a job that is not in memory, and what comes of it."""
    [asked] = of(on_fleet.FindPart, chunk(fleet, 2, b"cd"))
    part = {"capture": True, "held": {"stdout": Gathering.of(2)}, **more}
    return fleet.tell(on_fleet.PartFound(node=A, message=asked.message, state=state, **part))


@pytest.mark.parametrize("state", [NodeState.CRASHED, NodeState.TIMED_OUT, NodeState.ABORTED])
def test_a_chunk_of_an_old_job_goes_on_from_what_was_gathered(state: NodeState) -> None:
    fleet = Script()
    fleet.bring(A)
    effects = found_chunk(fleet, state)
    assert of(AppendOutput, effects) == [AppendOutput(JOB, "a", "stdout", 2, b"cd")]
    assert acknowledged(effects) == [4]
    # From here on nobody has to ask.
    assert acknowledged(chunk(fleet, 4, b"e")) == [5]


@pytest.mark.parametrize(
    ("state", "more"),
    [
        (None, {}),
        (NodeState.SUCCEEDED, {"reported": True}),
        (NodeState.CRASHED, {"capture": False}),
    ],
)
def test_a_chunk_that_nobody_wants_is_not_sent_again(
    state: NodeState | None, more: dict[str, Any]
) -> None:
    fleet = Script()
    fleet.bring(A)
    effects = found_chunk(fleet, state, **more)
    assert (of(AppendOutput, effects), acknowledged(effects)) == ([], [4])
    assert fleet.fleet.late == {}


def test_a_deleted_client_leaves_nothing_gathered() -> None:
    fleet = capturing()
    ended_without(fleet)
    chunk(fleet, 0, b"abc")
    assert fleet.fleet.late
    fleet.tell(on_fleet.ClientDeleted(A))
    assert not fleet.fleet.late


@pytest.mark.parametrize("state", [NodeState.CRASHED, NodeState.TIMED_OUT, NodeState.ABORTED])
def test_a_result_of_an_old_job_is_kept_with_what_was_gathered(state: NodeState) -> None:
    effects = late(state, held={"stdout": Gathering.of(2)})
    [kept] = of(SaveLateResult, effects)
    assert (kept.succeeded, kept.outcome.exit_code) == (False, 3)
    assert [e.stdout for e in of(StoreOutput, effects)] == [Gathered(2)]
    assert sent(effects, A) == [messages.AckResult]


def test_a_result_for_nobodys_job_is_acknowledged_so_that_it_is_not_repeated() -> None:
    effects = late(None)
    assert not of(SaveLateResult, effects)
    assert sent(effects, A) == [messages.AckResult]


# --- the next node of a name


def heir_of(fleet: Script) -> Script:
    """The client is deleted and made again, while the job is live or ended a moment ago."""
    fleet.tell(on_fleet.ClientDeleted(A))
    fleet.bring(A)
    return fleet


def forged(fleet: Script) -> list[Any]:
    """Output and a result for the job of the node before."""
    effects = chunk(fleet, 0, b"forged")
    assert acknowledged(effects) == [6], "so that an honest agent does not send it for ever"
    effects += result(fleet, stdout_base64="Zm9yZ2Vk", exit_code=0)
    assert sent(effects, A)[-1] is messages.AckResult
    return effects


@pytest.mark.parametrize("others", [(), (B,)], ids=["ended", "live"])
def test_a_job_of_a_deleted_node_takes_nothing_of_the_next_of_its_name(
    others: tuple[NodeKey, ...],
) -> None:
    fleet = Script()
    fleet.run(A, *others, capture=True)
    chunk(fleet, 0, b"abc")
    effects = forged(heir_of(fleet))
    for kind in (AppendOutput, StoreOutput, SaveLateResult):
        assert not of(kind, effects)
    assert fleet.state(A) is NodeState.CRASHED


def test_a_node_that_is_gone_after_a_restart_has_crashed_and_its_heir_has_no_part() -> None:
    fleet = Script()
    fleet.run(A, B, capture=True)
    fleet.job.disowned.add(A.name)
    again = restarted(fleet, B)
    assert again.state(A) is NodeState.CRASHED
    again.bring(A)
    for kind in (AppendOutput, StoreOutput, SaveLateResult):
        assert not of(kind, forged(again))


@pytest.mark.parametrize("state", sorted(results.NEVER_TOLD))
def test_who_was_never_told_to_run_has_no_result_and_no_output(state: NodeState) -> None:
    assert not of(SaveLateResult, late(state))
    fleet = Script()
    fleet.bring(A)
    assert not of(AppendOutput, found_chunk(fleet, state))


# --- while the command runs


def enough(effects: list[Any]) -> list[bool]:
    """Whether the agent is told that no more is kept, by acknowledgement."""
    sends = of(on_fleet.Send, effects)
    return [e.fields.get("enough", False) for e in sends if e.kind is messages.AckOutput]


def shown(effects: list[Any]) -> list[tuple[str, dict[OutputChannel, int]]]:
    """What readers may read, by node."""
    return [(e.node, dict(e.sizes)) for e in of(on_fleet.ShowOutput, effects)]


def limited(limit: int, *nodes: NodeKey) -> Script:
    fleet = Script(rules=msgspec.structs.replace(RULES, max_job_output=limit))
    fleet.run(*nodes, capture=True)
    return fleet


def test_readers_see_a_chunk_once_it_is_stored() -> None:
    fleet = capturing()
    fleet.slow_store = True
    assert shown(chunk(fleet, 0, b"abc")) == []
    fleet.commit()
    assert shown(fleet.done) == [("a", {"stdout": 3})]


def test_readers_see_what_came_with_a_result() -> None:
    fleet = capturing()
    effects = result(fleet, stdout_base64="aGk=", stderr_base64="")
    assert shown(effects) == [("a", {"stdout": 2, "stderr": 0})]


def test_a_chunk_behind_another_head_replaces_what_was_there() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abcdef")
    effects = chunk(fleet, 2, b"xyz", head=2)
    assert of(AppendOutput, effects) == [
        AppendOutput(JOB, "a", "stdout", 2, b"", cut=True),
        AppendOutput(JOB, "a", "stdout", 2, b"xyz"),
    ]
    assert acknowledged(effects) == [5]
    again = chunk(fleet, 2, b"xyz", head=2)
    assert (of(AppendOutput, again), acknowledged(again)) == ([], [5])
    [kept] = of(StoreOutput, result(fleet, stdout_size=5, stdout_head=2, stderr_size=0))
    assert kept.stdout == Gathered(5)


def test_a_result_alone_says_that_less_is_as_it_was() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"abcdef")
    effects = result(fleet, stdout_size=4, stdout_head=4, stderr_size=0)
    assert of(AppendOutput, effects) == [AppendOutput(JOB, "a", "stdout", 4, b"", cut=True)]
    assert acknowledged(effects) == [4]
    assert messages.AckResult not in sent(effects, A)
    [kept] = of(StoreOutput, result(fleet, stdout_size=4, stdout_head=4, stderr_size=0))
    assert kept.stdout == Gathered(4)


def test_what_comes_in_the_result_takes_the_place_of_what_was_gathered() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"h")
    effects = result(fleet, stdout_base64="aGk=", stderr_base64="")
    assert of(AppendOutput, effects) == [AppendOutput(JOB, "a", "stdout", 0, b"hi", cut=True)]
    [kept] = of(StoreOutput, effects)
    assert (kept.stdout, kept.stderr) == (Gathered(2), b"")


def test_a_job_s_output_is_shared_out_and_who_has_enough_is_told() -> None:
    fleet = limited(8, A, B)
    effects = chunk(fleet, 0, b"123456")
    assert of(AppendOutput, effects) == [AppendOutput(JOB, "a", "stdout", 0, b"12")]
    assert (acknowledged(effects), enough(effects)) == ([6], [True])


def test_of_too_much_output_the_end_is_asked_for_once_the_command_has_ended() -> None:
    fleet = limited(8, A, B)
    chunk(fleet, 0, b"123456")
    asked = result(fleet, stdout_size=100, stdout_head=100, stderr_size=0)
    assert of(BeginTail, asked) == [BeginTail(JOB, "a", "stdout", 2)]
    assert (acknowledged(asked), enough(asked)) == ([98], [False])
    assert messages.AckResult not in sent(asked, A)
    # What comes of the middle after all is not kept.
    assert not of(AppendOutput, chunk(fleet, 6, b"middle"))
    for at, data in ((98, b"y"), (99, b"z"), (100, b"beyond")):
        chunk(fleet, at, data)
    assert of(AppendOutput, fleet.done)[-2:] == [
        AppendOutput(JOB, "a", "stdout", 0, b"y", tail=True),
        AppendOutput(JOB, "a", "stdout", 1, b"z", tail=True),
    ]


def test_beginning_and_end_are_joined_by_a_mark() -> None:
    fleet = limited(8, A, B)
    chunk(fleet, 0, b"123456")
    for data in (b"", b"yz"):
        chunk(fleet, 98, data)
        stored = result(fleet, stdout_size=100, stdout_head=100, stderr_size=0)
    mark = b"\n... 96 bytes left out ...\n"
    assert of(JoinTail, stored) == [JoinTail(JOB, "a", "stdout", 2, mark)]
    [kept] = of(StoreOutput, stored)
    assert kept.stdout == Gathered(2 + len(mark) + 2)
    assert (kept.stdout_dropped, kept.stdout_cut_at) == (96, 2)
    kinds = [type(effect) for effect in stored]
    assert kinds.index(JoinTail) < kinds.index(StoreOutput)
    assert messages.AckResult in sent(stored, A)
    assert shown(stored) == [("a", {"stdout": 4 + len(mark), "stderr": 0})]


def test_what_was_in_reserve_is_shared_by_the_ends_of_both_channels() -> None:
    fleet = limited(16, A, B)
    for channel in ("stdout", "stderr"):
        chunk(fleet, 0, b"123456", channel)
    ends: dict[str, Any] = {
        "stdout_size": 100,
        "stdout_head": 100,
        "stderr_size": 50,
        "stderr_head": 50,
    }
    assert acknowledged(result(fleet, **ends)) == [98]
    chunk(fleet, 98, b"yz")
    assert acknowledged(result(fleet, **ends)) == [48]
    chunk(fleet, 48, b"yz", "stderr")
    [kept] = of(StoreOutput, result(fleet, **ends))
    assert (kept.stdout_dropped, kept.stderr_dropped) == (94, 48)


def test_without_any_room_the_mark_is_at_the_end() -> None:
    fleet = limited(2, A, B)
    chunk(fleet, 0, b"1")
    chunk(fleet, 0, b"123", "stderr")
    ends: dict[str, Any] = {"stdout_size": 1, "stdout_head": 1, "stderr_size": 9, "stderr_head": 9}
    stored = result(fleet, **ends)
    mark = b"\n[output cut: 9 more bytes]\n"
    assert of(AppendOutput, stored) == [AppendOutput(JOB, "a", "stderr", 0, mark)]
    [kept] = of(StoreOutput, stored)
    assert (kept.stderr, kept.stderr_dropped) == (Gathered(len(mark)), 9)
    assert kept.stderr_cut_at == 0


def test_an_end_that_was_asked_for_is_kept_as_far_as_it_came() -> None:
    fleet = limited(8, A, B)
    chunk(fleet, 0, b"123456")
    result(fleet, stdout_size=100, stdout_head=100, stderr_size=0)
    chunk(fleet, 98, b"y")
    fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    [kept] = of(StoreOutput, fleet.done)
    assert of(JoinTail, fleet.done)[0].kept == 2
    assert kept.stdout_dropped == 96


def test_where_the_agent_cut_its_output_is_known() -> None:
    fleet = capturing()
    more: dict[str, Any] = {"stdout_dropped": 5, "stdout_cut_at": 1}
    [kept] = of(StoreOutput, result(fleet, stdout_base64="aGk=", stderr_base64="", **more))
    assert (kept.stdout_dropped, kept.stdout_cut_at, kept.stderr_cut_at) == (5, 1, None)


def test_what_a_node_left_of_its_share_another_gets() -> None:
    fleet = limited(8, A, B)
    fleet.hear(B, messages.Succeeded, job_id=JOB.id, spooled=True, stdout_base64="aGk=",
               stderr_base64="")  # fmt: skip
    effects = chunk(fleet, 0, b"123456")
    assert of(AppendOutput, effects) == [AppendOutput(JOB, "a", "stdout", 0, b"1234")]
    assert enough(effects) == [True]


def test_what_others_leave_does_not_fill_what_was_left_out() -> None:
    fleet = limited(16, A, B)
    assert of(AppendOutput, chunk(fleet, 0, b"123456"))[0].data == b"1234"
    fleet.hear(B, messages.Succeeded, job_id=JOB.id, spooled=True, stdout_base64="aGk=",
               stderr_base64="")  # fmt: skip
    effects = chunk(fleet, 6, b"789")
    assert (of(AppendOutput, effects), acknowledged(effects)) == ([], [9])


def test_where_more_is_there_than_a_beginning_may_have_nothing_is_added() -> None:
    fleet = Script()
    fleet.run(A, default_capture=True)
    held = limits.MAX_DEFAULT_OUTPUT - 10
    fleet.job.held["a"] = {"stdout": Gathering.of(held)}
    effects = chunk(fleet, held, bytes(limits.MAX_DEFAULT_OUTPUT))
    assert (of(AppendOutput, effects), enough(effects)) == ([], [True])


def test_chunks_may_fill_what_a_node_may_have_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MAX_UNSTORED", 5)
    fleet = capturing()
    fleet.slow_store = True
    assert of(AppendOutput, chunk(fleet, 0, b"12345"))
    assert not of(AppendOutput, chunk(fleet, 5, b"6"))


@pytest.mark.parametrize(("theirs", "first"), [(1, 1), (4, 3)])
def test_what_agent_and_server_cut_is_counted_together(
    theirs: int, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MAX_OUTPUT", 5)
    more: dict[str, Any] = {"stdout_dropped": 7, "stdout_cut_at": theirs}
    data = base64.b64encode(b"1234567890").decode()
    [kept] = of(StoreOutput, result(capturing(), stdout_base64=data, stderr_base64="", **more))
    assert (kept.stdout_dropped, kept.stdout_cut_at) == (5 + 7, first)


def test_a_result_with_less_than_was_gathered_lacks_nothing() -> None:
    fleet = capturing()
    chunk(fleet, 0, b"hi there")
    [kept] = of(StoreOutput, result(fleet, stdout_base64="aGk=", stderr_base64=""))
    assert (kept.stdout_dropped, kept.stdout_cut_at) == (0, None)


def test_of_output_that_was_cut_without_a_result_the_mark_counts_what_came() -> None:
    fleet = limited(8, A, B)
    chunk(fleet, 0, b"123456")
    ended_without(fleet)
    mark = b"\n[output cut: 4 more bytes]\n"
    assert of(AppendOutput, fleet.done)[-1] == AppendOutput(JOB, "a", "stdout", 2, mark)
    [kept] = of(StoreOutput, fleet.done)
    assert (kept.stdout_dropped, kept.stdout_cut_at) == (4, 2)


def test_output_in_the_result_counts_too() -> None:
    fleet = limited(2, A)
    [kept] = of(StoreOutput, result(fleet, stdout_base64="aGlq", stderr_base64=""))
    assert (kept.stdout, kept.stdout_dropped) == (b"h\n... 1 bytes left out ...\nj", 1)
    assert kept.stdout_cut_at == 1


def test_what_readers_saw_of_output_stays_when_the_rest_comes_with_the_result() -> None:
    fleet = limited(8, A)
    chunk(fleet, 0, b"123")
    chunk(fleet, 3, b"4")
    effects = result(fleet, stdout_base64="MTIzNDU2Nzg5MA==", stderr_base64="")
    whole = b"1234\n... 2 bytes left out ...\n7890"
    assert of(AppendOutput, effects) == [AppendOutput(JOB, "a", "stdout", 0, whole, cut=True)]


def test_what_readers_saw_beyond_half_of_the_room_stays_as_well() -> None:
    budget = gathering.Budget(share=8)
    held: output.Held = {"stdout": Gathering.of(6)}
    budget.draw("a", 6, ended=True)
    message = messages.Succeeded(
        node="a", org="acme", incarnation_id="i", job_id=JOB.id, sequence=1, timestamp="",
        stdout_base64=base64.b64encode(b"1234567890").decode(),
    )  # fmt: skip
    effects = output.keep(JOB, "a", held, budget, message)
    whole = b"123456\n... 2 bytes left out ...\n90"
    assert of(AppendOutput, effects) == [AppendOutput(JOB, "a", "stdout", 0, whole, cut=True)]
    assert of(StoreOutput, effects)[0].stdout_cut_at == 6


def test_a_restarted_server_knows_how_much_was_kept() -> None:
    fleet = limited(16, A, B)
    chunk(fleet, 0, b"123")
    fleet.fleet.rules = msgspec.structs.replace(RULES, max_job_output=16)
    fleet.job.kept = {"a": 3, "b": 0}
    again = restarted(fleet, A, B, rules=fleet.fleet.rules)
    again.hear(A)
    assert of(AppendOutput, chunk(again, 3, b"45")) == [AppendOutput(JOB, "a", "stdout", 3, b"4")]


def test_an_agent_that_knows_no_end_is_not_told_of_it() -> None:
    fleet = Script(rules=msgspec.structs.replace(RULES, max_job_output=4))
    fleet.run(A, capture=True, offered=extensions.ALL - {extensions.STREAM})
    effects = chunk(fleet, 0, b"123456")
    assert (acknowledged(effects), enough(effects)) == ([6], [False])
