"""Output that is followed while its server comes and goes."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

from pushcli.client.feed import FeedEvent
from pushcli.errors import PermissionDenied, PushcliError, ServerUnreachable
from pushcli.jobs import follow as module
from pushcli.jobs.follow import PATIENCE, RETRY_PAUSE, follow, following
from pushcli.terminal.context import App

Said = list[FeedEvent] | PushcliError
AWAY = ServerUnreachable("it is away")


def wrote(number: int, text: str, offset: int = 0, channel: str = "stdout") -> list[FeedEvent]:
    fields = {"node": "n1", "channel": channel, "offset": offset, "text": text}
    return [FeedEvent("output", f"x-{number}", msgspec.json.encode(fields))]


END = [FeedEvent("end", "x-99", b"{}")]


class Followed:
    """A terminal, and a server that says these things: on each request a list of them."""

    def __init__(self, *requests: Sequence[Said]) -> None:
        self.printed: list[str] = []
        self.noted: list[str] = []
        self.asked: list[str] = []
        self._requests = list(requests)
        self._now = 0.0
        self.is_text = True
        self.client = SimpleNamespace(
            output_feed=self._output_feed, extensions=frozenset({module.EXTENSION})
        )

    def _output_feed(self, job: str, nodes: Sequence[str], last: str) -> Iterator[list[FeedEvent]]:
        self.asked.append(last)
        for said in self._requests.pop(0) if self._requests else [AWAY]:
            if isinstance(said, Exception):
                raise said
            yield said

    def clock(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds

    def print(self, text: str) -> None:
        self.printed += text.splitlines()

    def note(self, text: str) -> None:
        self.noted.append(text)

    def paint(self, text: str, _: str) -> str:
        return text

    @property
    def app(self) -> App:
        return cast("App", self)


def run(followed: Followed, channels: Sequence[str] = ("stdout", "stderr")) -> int:
    return follow(followed.app, "job", (), channels, None)


def test_a_server_may_be_away_again_and_again_for_as_long_each_time() -> None:
    half = int(PATIENCE * 0.6 / RETRY_PAUSE)
    away: list[Sequence[Said]] = [[AWAY]] * half
    followed = Followed(*away, [wrote(1, "one\n"), AWAY], *away, [wrote(2, "two\n", 4), END])
    assert run(followed) == 2
    assert followed.printed == ["n1 | one", "n1 | two"]
    assert followed.noted == ["it is away: retrying for 60 s ..."] * 2
    assert followed.asked[-1] == "x-1", "after what was seen"


def test_one_that_stays_away_is_given_up() -> None:
    followed = Followed([wrote(1, "one\n")])
    with pytest.raises(ServerUnreachable):
        run(followed)
    assert followed.clock() == PATIENCE


def test_a_right_that_ended_is_told_at_once() -> None:
    followed = Followed([wrote(1, "one\n")], [PermissionDenied("not yours")])
    with pytest.raises(PermissionDenied):
        run(followed)
    assert followed.clock() == RETRY_PAUSE


def test_only_the_channels_that_are_wanted_are_shown() -> None:
    both = [*wrote(1, "out\n"), *wrote(2, "err\n", channel="stderr")]
    followed = Followed([both, END])
    assert run(followed, ("stderr",)) == 1
    assert followed.printed == ["n1 ! err"]


def test_a_last_line_without_an_end_is_shown_once() -> None:
    followed = Followed([wrote(1, "one\ntwo"), END])
    with following(followed.app, "job", None) as is_printed:
        assert is_printed
    assert followed.printed == ["n1 | one", "n1 | two"]


def test_what_went_wrong_aside_is_raised_at_the_end_and_no_half_line_is_shown() -> None:
    followed = Followed([wrote(1, "one\ntwo"), PermissionDenied("not yours")])
    with pytest.raises(PermissionDenied), following(followed.app, "job", None):
        pass
    assert followed.printed == ["n1 | one"]
