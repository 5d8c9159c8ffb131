"""The lines of the live display, as they stand in a terminal."""

import json

import pytest

from pushcli.client.feed import FeedEvent
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.screen import ASCII, MOST_LINES, Part, cut, screen
from pushcli.jobs.tracker import Tracker


def at(status: str, needed: int | None = None, **nodes: list[str]) -> Tracker:
    tracker = Tracker(command="chef-client", quorum=needed)
    tracker.update(
        JobView(
            id="8" * 32, command="chef-client", status=status, created_at="", updated_at="",
            nodes=nodes,
        )
    )  # fmt: skip
    return tracker


def texts(tracker: Tracker, elapsed: float = 6.0, room: int = 79) -> list[str]:
    lines = screen(tracker, job_id="8f593bb9" + "0" * 24, elapsed=elapsed, glyphs=ASCII, room=room)
    return ["".join(part.text for part in line).rstrip() for line in lines]


def names(prefix: str, first: int, last: int) -> list[str]:
    return [f"{prefix}{number:02}" for number in range(first, last + 1)]


def test_a_vote_names_who_is_missing_and_who_is_out_and_why() -> None:
    tracker = at(
        "voting", 36, ready=names("web", 1, 30), new=["web31", "web32"], nacked=["web33"],
        unavailable=names("db", 1, 12),
    )  # fmt: skip
    tracker.explain(
        [
            *(NodeResult(node=n, state="unavailable", reason="down") for n in names("db", 1, 12)),
            NodeResult(node="web33", state="nacked", reason="not on the whitelist: chef-client"),
        ]
    )
    assert texts(tracker) == [
        "Job 8f593bb9, chef-client, 45 nodes, 36 needed",
        "Voting      ############################--  30 of 45 ready   6 s",
        "  no answer   web[31-32]",
        "  unavailable db[01-12] down",
        "  nacked      web33 not on the whitelist: chef-client",
    ]
    # In the first moment nobody is missing yet.
    assert not any("no answer" in line for line in texts(tracker, elapsed=1.0))


def test_a_run_counts_health_and_names_trouble() -> None:
    tracker = at(
        "running", succeeded=names("web", 1, 18), failed=["web19", "web20", "web42"],
        running=["web50", "web51"], unavailable=["db01"],
    )  # fmt: skip
    tracker.explain(
        [
            NodeResult(node="web19", state="failed", exit_code=1),
            NodeResult(node="web20", state="failed", exit_code=1),
            NodeResult(node="web42", state="failed", exit_code=3),
            NodeResult(node="web51", state="running", out_of_contact=True),
        ]
    )
    assert texts(tracker) == [
        "Job 8f593bb9, chef-client, 24 nodes",
        "Running     ###########################---  21 of 23 done   6 s",
        "  18 succeeded, 3 failed, 2 running, 1 unavailable",
        "  failed      web42 exit code 3, web[19-20] exit code 1",
        "  no contact  web51",
        "  unavailable db01",
    ]


def test_whatever_happens_the_screen_stays_small() -> None:
    tracker = at(
        "running",
        running=[f"r{i}" for i in range(3000)],
        failed=[f"f{i}" for i in range(3000)],
        nacked=[f"n{i}" for i in range(3000)],
        unavailable=[f"u{i}" for i in range(3000)],
    )
    tracker.explain([NodeResult(node=f"n{i}", state="nacked", reason=str(i)) for i in range(500)])
    lines = texts(tracker)
    assert len(lines) <= MOST_LINES
    assert lines[-1].strip() == "6,000 nodes do not take part in all"


def test_a_job_without_nodes_that_take_part_has_a_full_bar() -> None:
    assert "#" * 30 + "  0 of 0 done" in texts(at("running", nacked=["a"]))[1]


@pytest.mark.parametrize(
    ("room", "drawn"),
    [(79, f"{'#' * 22}--------  "), (60, f"{'#' * 18}-------  "), (40, "###--  "), (30, "")],
)
def test_the_bar_gives_way_to_what_stands_beside_it(room: int, drawn: str) -> None:
    tracker = at("running", succeeded=names("web", 1, 3), running=["web04"])
    line = texts(tracker, room=room)[1]
    assert line == f"Running     {drawn}3 of 4 done   6 s"
    assert len(line) <= room


def started(*starts: tuple[str, str]) -> Tracker:
    """A job whose nodes began to run at these seconds of a minute."""
    tracker = Tracker()

    def event(name: str, second: str, **data: object) -> FeedEvent:
        told = {"timestamp": f"2026-11-27 10:00:{second}Z", **data}
        return FeedEvent(name, "1", json.dumps(told).encode())

    tracker.apply(event("start", "00"))
    tracker.apply(event("quorum_succeeded", "00"))
    for node, second in starts:
        tracker.apply(event("run_start", second, node=node))
    return tracker


def test_of_nodes_that_began_together_the_slowest_are_named_in_their_order() -> None:
    tracker = started(
        ("web10", "01.100"), ("web9", "01.200"), ("web2", "01.900"), ("web1", "02.000")
    )
    assert texts(tracker, elapsed=9.6)[-1] == "  slowest     web2 9 s, web9 9 s, web10 9 s"
    tracker = started(("web2", "01.000"), ("web1", "03.000"))
    assert texts(tracker, elapsed=9.0)[-1] == "  slowest     web2 8 s, web1 6 s"


@pytest.mark.parametrize(
    ("room", "shown"), [(9, ["abc", "defghi"]), (6, ["abc", "de~"]), (3, ["abc"]), (1, ["~"])]
)
def test_a_line_is_cut_at_the_edge(room: int, shown: list[str]) -> None:
    line = [Part("abc"), Part("defghi", "red")]
    assert [part.text for part in cut(line, room, "~")] == shown


def test_wide_characters_take_their_two_columns() -> None:
    assert [part.text for part in cut([Part("\u8a9e" * 3)], 5, "~")] == ["\u8a9e\u8a9e~"]
