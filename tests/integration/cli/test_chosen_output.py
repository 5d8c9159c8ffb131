"""`pushcli job output` of some of a job's nodes: chosen, searched and compared."""

import json

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.done_job import FINE, part, show_done
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import JOB_ID, Responder
from tests.integration.cli.terminal import on_terminal

MOST = b"one\ntwo\nthree\n"
OTHER = b"one\n2\x1b[2J\nthree\nDisk FULL\n"
BINARY = b"\0\xff" * 600
ERROR = b"disk full"


@pytest.fixture(autouse=True)
def done(responder: Responder) -> Responder:
    """A job in which most nodes wrote the same."""
    parts: list[dict[str, object]] = [
        *(part(f"web{number:02}", MOST) for number in range(1, 8)),
        part("web08", OTHER, ERROR, state="failed", exit_code=3),
        part("web09", OTHER, ERROR, state="failed", exit_code=3),
        part("db1", BINARY, state="timed_out"),
        {"node": "db2", "state": "nacked", "reason": "busy"},
    ]
    show_done(responder, parts, MOST, OTHER, BINARY, ERROR)
    return responder


def output(home: Home, *arguments: str) -> list[str]:
    result = home.run("job", "output", JOB_ID, *arguments)
    assert (result.status, result.stderr) == (ExitStatus.OK, "")
    return [line for line in result.stdout.splitlines() if not line.startswith("  ")]


@pytest.mark.parametrize(
    ("arguments", "headings"),
    [
        (("web[07-08]",), ["web07 (succeeded)", "web08 (failed, exit code 3)", "web08 stderr"]),
        (("web*!web0[1-8]", "-x", "db*"), ["web09 (failed, exit code 3)", "web09 stderr"]),
        (("--with-status", "failed,succeeded", "-x", "web0[8-9]"), ["web[01-07] (7 succeeded)"]),
        (("web*", "--with-status", "failed", "--channel", "stderr"),
         ["web[08-09] (2 failed, exit code 3)", "web[08-09] stderr"]),
        # A set of one is no name: it is shown like any other set.
        (("web01*", "--channel", "stdout"), ["web01 (succeeded)"]),
    ],
)  # fmt: skip
def test_nodes_are_chosen_as_everywhere_among_those_of_the_job(
    home: Home, arguments: tuple[str, ...], headings: list[str]
) -> None:
    assert output(home, *arguments) == headings


def test_names_of_nodes_may_stand_in_a_file(home: Home) -> None:
    (home.path / "names").write_text("web[08-09] # those\n")
    assert len(output(home, "@names")) == 2


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("web1[0-2]",), 8, "has no nodes web[10-12]: did you mean"),
        (("web01", "wbe01"), 8, "has no node 'wbe01': did you mean 'web01'?"),
        (("zzz",), 8, f"has no node 'zzz': see `pushcli job status {JOB_ID}`"),
        (("x*",), 8, "no node matches 'x*' among the nodes of the job"),
        (("--with-status", "crashed,aborted"), 8, "is crashed or aborted"),
        (("--with-status", "fialed"), 2, "invalid status 'fialed'"),
        (("web*", "-x", "web*"), 8, "no nodes are left after --exclude"),
        (("--grep", "(?=x)"), 2, "no look-around"),
        (("--grep", "nothing like it"), 8, "no line of 11 nodes matches 'nothing like it'"),
        (("web01", "--grep", "disk"), 8, "no line of 1 node matches 'disk'"),
        (("-i",), 2, "--grep"),
        (("--diff", "--raw"), 2, "--raw and --diff exclude each other"),
        (("--diff", "--grep", "x"), 2, "--diff compares all lines"),
    ],
)
def test_what_cannot_be_shown_is_one_line(
    home: Home, arguments: tuple[str, ...], status: int, words: str
) -> None:
    assert_one_line(home.run("job", "output", JOB_ID, *arguments), status, words)


def test_lines_that_match_are_folded_and_their_nodes_counted(home: Home) -> None:
    result = home.run("job", "output", JOB_ID, "--grep", "^t|^disk full$", "-i")
    assert (result.status, result.stderr) == (ExitStatus.OK, "")
    assert result.stdout.splitlines() == [
        "web[01-07] (7 succeeded)",
        "  two",
        "  three",
        "web[08-09] (2 failed, exit code 3)",
        "  three",
        "  Disk FULL",
        "web[08-09] stderr",
        "  disk full",
        "9 of 11 nodes match",
    ]
    exact = home.run("job", "output", JOB_ID, "web*", "--grep", "^disk full$", "-F", "json")
    assert json.loads(exact.stdout) == [
        {"id": JOB_ID, "node": node, "stderr": "disk full"} for node in ("web08", "web09")
    ]
    raw = home.run("job", "output", JOB_ID, "web09", "--grep", "FULL", "--raw")
    assert raw.stdout == "Disk FULL\n"


def test_outputs_are_compared_with_what_most_nodes_wrote(home: Home) -> None:
    result = home.run("job", "output", JOB_ID, "--diff")
    assert (result.status, result.stderr) == (ExitStatus.DIFFERENT, "")
    assert result.stdout.splitlines() == [
        "web[01-07] (7 of 10) stdout: most common, 3 lines",
        "web[08-09] (2) stdout",
        "  @@ -1,3 +1,4 @@",
        "   one",
        "  -two",
        r"  +2\x1b[2J",
        "   three",
        "  +Disk FULL",
        "db1 (1) stdout: binary, 1,200 bytes",
        "db1,web[01-07] (8 of 10) stderr: most common, nothing",
        "web[08-09] (2) stderr",
        "  @@ -0,0 +1 @@",
        "  +disk full",
        r"  \ No newline at end of output",
    ]
    same = home.run("job", "output", JOB_ID, "web0[1-7]", "--diff", "--channel", "stdout")
    assert (same.status, same.stdout) == (0, "web[01-07] (all the same) stdout: 3 lines\n")


def test_a_channel_that_nobody_wrote_to_is_not_compared(home: Home) -> None:
    same = home.run("job", "output", JOB_ID, "web0[1-7]", "--diff")
    assert (same.status, same.stdout) == (0, "web[01-07] (all the same) stdout: 3 lines\n")
    nothing = home.run("job", "output", JOB_ID, "web0[1-7]", "--diff", "--channel", "stderr")
    assert nothing.stdout == "web[01-07] (all the same) stderr: nothing\n"


def test_programs_read_the_comparison(home: Home) -> None:
    result = home.run("job", "output", JOB_ID, "--diff", "--channel", "stdout", "-F", "json")
    assert result.status == ExitStatus.DIFFERENT
    assert json.loads(result.stdout) == {"id": JOB_ID, "channels": [{
        "channel": "stdout", "missing": [],
        "majority": {
            "nodes": [f"web{n:02}" for n in range(1, 8)], "bytes": len(MOST), "binary": False,
        },
        "others": [
            {"nodes": ["web08", "web09"], "bytes": len(OTHER), "binary": False,
             "diff": "@@ -1,3 +1,4 @@\n one\n-two\n+2\x1b[2J\n three\n+Disk FULL\n"},
            {"nodes": ["db1"], "bytes": 1200, "binary": True, "diff": None, "why": "binary"},
        ],
    }]}  # fmt: skip


def test_a_difference_is_coloured_on_a_terminal(home: Home) -> None:
    arguments = ("job", "output", JOB_ID, "web*", "--diff", "--channel", "stdout")
    with on_terminal(home, *arguments) as terminal:
        assert terminal.end() == ExitStatus.DIFFERENT
    assert b"\x1b[31m  -two\x1b[0m" in terminal.raw
    assert rb"\x1b[2J" in terminal.raw


def test_many_different_outputs_are_counted(home: Home, responder: Responder) -> None:
    contents = [b"%d\n" % number for number in range(60)]
    parts = [part(f"n{number}", each) for number, each in enumerate(contents)]
    show_done(responder, [*parts, part("m1", b"most"), part("m2", b"most")], *contents, b"most")
    result = home.run("job", "output", JOB_ID, "--diff", "--channel", "stdout")
    *_, last = result.stdout.splitlines()
    assert last == "n[50-59] (10) stdout: 10 more outputs, not compared"


def test_a_difference_of_the_second_channel_alone_is_one(home: Home, responder: Responder) -> None:
    late = part("n3", FINE)
    del late["stderr_digest"], late["stderr_size"]
    show_done(responder, [part("n1", FINE), part("n2", FINE, ERROR), late], FINE, ERROR)
    result = home.run("job", "output", JOB_ID, "--diff")
    assert result.status == ExitStatus.DIFFERENT
    assert result.stderr == "no stderr of n3 has arrived\n"


def test_how_much_of_a_long_difference_is_left_out_is_said(
    home: Home, responder: Responder
) -> None:
    long = b"".join(b"%d\n" % number for number in range(400))
    show_done(responder, [part("n1", FINE), part("n2", FINE), part("n3", long)], FINE, long)
    result = home.run("job", "output", JOB_ID, "--diff", "--channel", "stdout")
    *_, last = result.stdout.splitlines()
    assert last == "  ... and 202 more lines: --outdir DIR has it all"
