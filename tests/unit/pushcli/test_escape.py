import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli.escape import decode, escape_line, escape_text
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.outcome import outcome
from pushcli.jobs.output import Alike, block
from pushcli.jobs.pages import ListedJob
from pushcli.jobs.screen import screen
from pushcli.jobs.tracker import Tracker
from pushcli.jobs.troubles import exceptions
from pushcli.jobs.wording import summary
from tests.support.examples import examples

DANGEROUS = {"Cc", "Cs", "Zl", "Zp"}
BIDIRECTIONAL = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
NASTY = st.text(st.sampled_from("\x1b\x9b\r\n\t\x07\x7f\u202e\u2028[]/\\abcdé"))
ANY_TEXT = st.one_of(st.text(st.characters()), NASTY)


def is_safe(text: str, allowed: str) -> bool:
    return all(
        c in allowed or (unicodedata.category(c) not in DANGEROUS and c not in BIDIRECTIONAL)
        for c in text
    )


@settings(max_examples=examples(300))
@given(st.one_of(st.binary(), ANY_TEXT.map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_no_control_character_of_a_node_reaches_the_terminal(output: bytes) -> None:
    assert is_safe(decode(output), allowed="\n\t")
    lines = block(Alike(["web01"], "", "failed", {"stdout": output, "stderr": output}))
    assert is_safe("\n".join(lines), allowed="\n\t")


@settings(max_examples=examples(300))
@given(ANY_TEXT)
def test_a_line_stays_one_line(text: str) -> None:
    assert is_safe(escape_line(text), allowed="")


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert escape_line(text) == escape_text(text) == text


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b"a\x1b[2Jb", r"a\x1b[2Jb"),
        (b"50%\r100%\r\n", "50%\\r100%\\r\n"),
        (b"\xff\xfe", r"\xff\xfe"),
        ("\u202eevil".encode(), r"\u202eevil"),
        ("tab\tand\nline é".encode(), "tab\tand\nline é"),
        (b"\xc2\x9b31m", r"\x9b31m"),
    ],
)
def test_control_characters_are_written_out(output: bytes, shown: str) -> None:
    assert decode(output) == shown


def test_no_node_can_forge_a_heading() -> None:
    lines = block(Alike(["web01"], "", "succeeded", {"stdout": b"x\nweb02 (succeeded)\n"}))
    assert lines == ["web01 (succeeded)", "  x", "  web02 (succeeded)"]


@settings(max_examples=examples(200))
@given(command=ANY_TEXT, node=ANY_TEXT, state=ANY_TEXT, reason=ANY_TEXT)
def test_what_a_server_says_of_a_job_is_shown_safely(
    command: str, node: str, state: str, reason: str
) -> None:
    listed = ListedJob(
        id="1", command=command, status=state, created_at="", updated_at="", states={state: 1}
    )
    job = JobView(
        id="1", command=command, status=state, created_at="", updated_at="",
        nodes={state: [node]},
    )  # fmt: skip
    result = NodeResult(node=node, state=state, reason=reason)
    shown = [outcome(listed).text, summary(job), *exceptions([result])]
    assert all(is_safe(line, allowed="") for line in shown)


@settings(max_examples=examples(100), deadline=None)
@given(node=ANY_TEXT, state=st.one_of(st.just("failed"), ANY_TEXT))
def test_the_live_display_takes_nothing_as_markup(node: str, state: str) -> None:
    job = JobView(
        id="1", command=node, status="running", created_at="", updated_at="",
        nodes={state: [f"[red]{node}[/red]"]},
    )  # fmt: skip
    tracker = Tracker()
    tracker.update(job)
    tracker.explain([NodeResult(node=node, state=state, reason=node, out_of_contact=True)])
    lines = screen(tracker, job_id="1" * 32, elapsed=9.0)
    shown = "\n".join("".join(part.text for part in line) for line in lines)
    assert is_safe(shown, allowed="\n")
    assert state != "failed" or f"[red]{escape_line(node)}[/red]" in shown
