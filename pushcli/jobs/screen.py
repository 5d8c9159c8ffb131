"""What the live display shows of a job: at most ten lines, whatever the fleet's size.

Pure: lines come out as parts with their colours. Trouble is named, health is counted, colour only
repeats what a word says.
"""

from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from itertools import islice
from typing import NamedTuple

from pushcli import durations
from pushcli.escape import escape_line
from pushcli.jobs.model import NodeResult
from pushcli.jobs.tracker import Tracker
from pushcli.jobs.wording import explain
from pushcli.protocol.names import by_number
from pushcli.terminal.colours import colour
from pushcli.terminal.folding import fold
from pushcli.terminal.layout import fitted, width

MOST_LINES = 10
_LONGEST_BAR = 30
_BAR_STEP = 5
"""Columns by which a bar gives way: one that followed each digit beside it would jump."""
_GAP = "  "
_TITLE = 12
USUAL_WIDTH = 80
_REASONS = 3
_SLOWEST = 3
_PATIENT = 2.0
"""Seconds of a vote after which who is missing is named."""
_SLOW = 5.0
"""Seconds after which a node that still runs may be called slow."""
_MOST_NAMES = 500
"""Names that are folded; there are more on a screen of a large fleet than anybody reads."""


class Part(NamedTuple):
    """Text of one colour (click's name; "": none)."""

    text: str
    colour: str = ""
    bold: bool = False


Line = list[Part]


class Glyphs(NamedTuple):
    """What bars, gaps and cuts are drawn with."""

    done: str = "━"
    left: str = "─"
    between: str = " · "
    cut: str = "…"


UNICODE = Glyphs()
ASCII = Glyphs("#", "-", ", ", "~")
"""For terminals that have no other characters."""


def screen(
    tracker: Tracker, *, job_id: str, elapsed: float, glyphs: Glyphs = UNICODE,
    room: int = USUAL_WIDTH,
) -> list[Line]:  # fmt: skip
    """The job as it is now.

    Args:
        elapsed: seconds since the job began, as far as the operator knows.
        room: columns that the bar and what stands beside it fit into, if its text does.
    """
    lines = [_head(tracker, job_id, glyphs)]
    if tracker.vote_is_over:
        lines += _running(tracker, elapsed, glyphs, room)
    else:
        lines += _voting(tracker, elapsed, glyphs, room)
    return lines[:MOST_LINES]


def cut(line: Line, room: int, mark: str) -> Line:
    """As much of a line as fits into so many columns."""
    kept: Line = []
    for part in line:
        taken = width(part.text)
        if taken > room:
            if room > 0:
                kept.append(part._replace(text=fitted(part.text, room, mark)))
            return kept
        kept.append(part)
        room -= taken
    return kept


def _head(tracker: Tracker, job_id: str, glyphs: Glyphs) -> Line:
    parts = [f"Job {job_id[:8]}", escape_line(tracker.command), _nodes(tracker.total)]
    if tracker.quorum is not None:
        parts.append(f"{tracker.quorum} needed")
    return [Part(glyphs.between.join(filter(None, parts)), bold=True)]


def _voting(tracker: Tracker, elapsed: float, glyphs: Glyphs, room: int) -> list[Line]:
    answered = tracker.total - tracker.count("new")
    ready = f"{tracker.count('ready')} of {tracker.total} ready   {durations.words(elapsed)}"
    lines = [bar("Voting", answered, tracker.total, ready, glyphs, room)]
    if answered < tracker.total and elapsed >= _PATIENT:
        missing = [node for node, state in tracker.states.items() if state == "new"]
        lines.append(_titled("no answer", [Part(_names(missing))]))
    return lines + _absent(tracker, glyphs)


def _running(tracker: Tracker, elapsed: float, glyphs: Glyphs, room: int) -> list[Line]:
    at_work = tracker.count("ready", "running")
    whole = tracker.participating
    rate = tracker.rate(tracker.now)
    pace = f"   {rate:.0f}/s" if rate >= 1 else ""
    done = f"{whole - at_work} of {whole} done{pace}   {durations.words(elapsed)}"
    lines = [
        bar("Running", whole - at_work, whole, done, glyphs, room),
        _counts(tracker.counts, glyphs),
    ]
    if tracker.troubled:
        lines.append(_titled("failed", _failures(tracker, glyphs), "red"))
    lines += _slow(tracker, elapsed, glyphs)
    lost = [r for r in tracker.results.values() if r.out_of_contact]
    lost = [r for r in lost if tracker.states.get(r.node) in {"ready", "running"}]
    if lost:
        since = [r.last_contact for r in lost if r.last_contact is not None]
        ago = f" since {durations.clock(min(since))}" if since else ""
        lines.append(_titled("no contact", [Part(_names([r.node for r in lost]) + ago)], "yellow"))
    return lines + _absent(tracker, glyphs)


def bar(title: str, done: int, total: int, beside: str, glyphs: Glyphs, room: int) -> Line:
    """A title, how much of it is done, and the text beside it, which the bar makes room for."""
    left = room - _TITLE - len(_GAP) - width(beside)
    size = _LONGEST_BAR if left >= _LONGEST_BAR else max(0, left - left % _BAR_STEP)
    filled = size if done >= total else size * done // max(total, 1)
    drawn = [Part(glyphs.done * filled, "green"), Part(glyphs.left * (size - filled)), Part(_GAP)]
    return [Part(f"{title:{_TITLE}}", bold=True), *(drawn if size else []), Part(beside)]


def _counts(counts: Mapping[str, int], glyphs: Glyphs) -> Line:
    line: Line = [Part("  ")]
    for state, count in counts.items():
        if len(line) > 1:
            line.append(Part(glyphs.between))
        line.append(Part(f"{count} {escape_line(state)}", colour(state)))
    return line


def _failures(tracker: Tracker, glyphs: Glyphs) -> Line:
    """Who failed and why, the last ones first."""
    groups = _grouped(tracker, reversed(tracker.troubled))
    texts = [f"{_names(nodes)} {why}".rstrip() for (_, why), nodes in groups.items()]
    return [Part(glyphs.between.join(texts))]


def _slow(tracker: Tracker, elapsed: float, glyphs: Glyphs) -> list[Line]:
    """Who runs longest; of those that began in one second, which looks the same, by their names."""
    began = tracker.began_at or tracker.now
    first = islice(tracker.running_since.items(), _MOST_NAMES)
    starts = [(int(max(0.0, since - began)), node) for node, since in first]
    slowest = nsmallest(_SLOWEST, starts, key=lambda start: (start[0], by_number(start[1])))
    texts = [
        f"{escape_line(node)} {durations.words(elapsed - start)}"
        for start, node in slowest
        if elapsed - start >= _SLOW
    ]
    return [_titled("slowest", [Part(glyphs.between.join(texts))])] if texts else []


def _absent(tracker: Tracker, glyphs: Glyphs) -> list[Line]:
    """Who does not take part and why: the reasons of most nodes first."""
    names = [node for node, state in tracker.states.items() if state in {"nacked", "unavailable"}]
    if not names:
        return []
    groups = _grouped(tracker, islice(names, _MOST_NAMES))
    order = sorted(groups.items(), key=lambda group: -len(group[1]))
    lines = [
        _titled(state, [Part(f"{_names(nodes)} {why}".rstrip())], colour(state))
        for (state, why), nodes in order[:_REASONS]
    ]
    if len(names) > _MOST_NAMES:
        lines.append(_titled("", [Part(f"{_nodes(len(names))} do not take part in all")]))
    return lines


def _grouped(tracker: Tracker, nodes: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        state = tracker.states[node]
        groups.setdefault((state, _why(tracker.results.get(node))), []).append(node)
    return groups


def _why(result: NodeResult | None) -> str:
    return "" if result is None else explain(result)


def _titled(title: str, parts: Line, painted: str = "") -> Line:
    return [Part(f"  {title:{_TITLE - 1}} ", painted), *parts]


def _names(nodes: Sequence[str]) -> str:
    shown = fold(map(escape_line, nodes[:_MOST_NAMES]))
    more = len(nodes) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count:,} nodes"
