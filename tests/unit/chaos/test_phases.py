"""In which phase a kill fell."""

from pathlib import Path

import pytest

from tests.chaos.phases import Part, Phase, Spooled, Tally, all_voted, phase_of, spooled

NOW = 1_000.0


@pytest.mark.parametrize(
    ("status", "state", "spool", "voted", "expected"),
    [
        ("voting", "new", "nothing", False, Phase.VOTE),
        ("voting", "ready", "committed", False, Phase.VOTE),
        ("voting", "ready", "committed", True, Phase.BEFORE_SAVED),
        ("voting", "nacked", "nothing", True, None),
        ("running", "ready", "committed", False, Phase.SENT),
        ("running", "running", "running", False, Phase.RUNNING),
        ("running", "running", "ended", False, Phase.SPOOLED),
        ("running", "running", "nothing", False, None),
        ("aborted", "aborted", "ended", False, None),
    ],
)
def test_a_part_is_in_the_phase_that_store_and_spool_show(
    status: str, state: str, spool: Spooled, voted: bool, expected: Phase | None
) -> None:
    part = Part("j", status, "n", state)
    assert phase_of(part, spool, all_voted=voted, now=NOW) is expected


def test_a_result_is_acknowledged_for_a_moment_only() -> None:
    part = Part("j", "complete", "n", "succeeded", ended_at=NOW - 1)
    assert phase_of(part, "nothing", all_voted=False, now=NOW) is Phase.ACKNOWLEDGED
    assert phase_of(part, "ended", all_voted=False, now=NOW) is None
    assert phase_of(part, "nothing", all_voted=False, now=NOW + 5) is None


def test_all_have_voted_when_the_last_spool_says_so_though_the_store_does_not() -> None:
    parts = [Part("j", "voting", "n1", "ready"), Part("j", "voting", "n2", "new")]
    assert all_voted(parts, {("j", "n1"): "committed", ("j", "n2"): "nothing"}) == set()
    assert all_voted(parts, {("j", "n1"): "committed", ("j", "n2"): "committed"}) == {"j"}
    # One that was told to run before that was stored.
    assert all_voted(parts, {("j", "n1"): "running", ("j", "n2"): "committed"}) == {"j"}
    # One without a spool: the store alone tells.
    assert all_voted(parts, {("j", "n1"): "committed"}) == set()


def test_a_job_in_the_spool_is_as_far_as_its_files_say(tmp_path: Path) -> None:
    job = tmp_path / "j"
    assert spooled(tmp_path, "j") == "nothing"
    job.mkdir()
    for line, expected in (("1 committed\n", "committed"), ("1 running\n", "running")):
        (job / "lock").write_text(line)
        assert spooled(tmp_path, "j") == expected
    (job / "result.json").write_text("{}")
    assert spooled(tmp_path, "j") == "ended"


def test_a_phase_that_no_kill_fell_into_is_missing() -> None:
    tally = Tally()
    tally.add("server", [Phase.VOTE, Phase.VOTE, Phase.RUNNING])
    tally.add("agent", [Phase.RUNNING])
    assert tally.count(Phase.VOTE) == 1
    assert "     2  running  (1 agent, 1 server)" in tally.table()
    assert Phase.SENT in tally.missing()
    assert Phase.RUNNING not in tally.missing()
