"""How much of editors' statements travels, and which."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol import limits, wire
from pushcli.whitelist import following
from pushcli_server.core import editor_chain as core
from pushcli_server.core import whitelist
from pushcli_server.core.editor_chain import Stored, Travelling
from pushcli_server.core.whitelist import AttributeEntry, AttributeWhitelist
from tests.support.editors import LATEST, NOW, Chain, old

MODULUS = {2048: 344, 8192: 1368}


def many(count: int, bits: int) -> list[Any]:
    """Statements of the old form, of keys of so many bits."""
    usual = old("ann", "bob").raw
    size = MODULUS[bits]
    return [
        {**usual, "modulus": "A" * size, "signature": "A" * size, "version": NOW - number}
        for number in range(count)
    ]


def entries(count: int) -> AttributeWhitelist:
    """So many of 10,000 bytes."""
    found = [AttributeEntry(f"e{n}", "x" * 10_000, "normal", None) for n in range(count)]
    return AttributeWhitelist(found, {})


@pytest.mark.parametrize(("count", "bits"), [(145, 8192), (295, 2048), (3000, 2048), (5, 2048)])
@pytest.mark.parametrize("rows", [0, 10, 19, 40])
def test_a_message_is_never_larger_than_its_agent_takes(count: int, bits: int, rows: int) -> None:
    said = many(count, bits)
    travelling = core.travelling(Stored(said, []), said, latest=LATEST)
    for chained, most in ((False, wire.MAX_BODY_TO_EARLIER), (True, wire.MAX_BODY_FROM_SERVER)):
        fields = whitelist.message_fields(entries(rows), travelling, chained=chained)
        assert len(msgspec.json.encode(fields)) < most - 1000
        # What there is room for goes: the newest, the oldest of them first.
        sent = [msgspec.json.decode(one)["version"] for one in fields["editors"]]
        assert sent == sorted(sent)
        assert sent
        assert sent[-1] == NOW
        if count == 5:
            assert len(sent) == count


def test_what_goes_to_an_agent_with_chains_is_what_it_reads() -> None:
    said = many(500, 2048)
    travelling = core.travelling(Stored(said, []), said, latest=LATEST)
    assert len(travelling.base) <= limits.MAX_STATEMENTS
    assert sum(len(text) + 1 for text in travelling.base) <= limits.MAX_STATEMENTS_SIZE
    made = Chain()
    for _ in range(30):
        made.say("ann", "add", "bob")
    stored = Stored([], [one.raw for one in made.links])
    travelling = core.travelling(stored, said, latest=LATEST)
    links = [msgspec.json.decode(text) for text in travelling.links]
    assert [one.digest for one in following.read([], links).links] == [
        one.digest for one in made.links
    ]


def test_a_statement_dated_ahead_does_not_travel_to_agents_that_would_believe_it() -> None:
    said = [old("ann", "bob", 2**62).raw, old("ann", "carl", NOW).raw]
    travelling = core.travelling(Stored(said, []), said, latest=LATEST)
    assert [msgspec.json.decode(text)["editor"] for text in travelling.old] == ["carl"]


@given(
    st.lists(st.tuples(st.integers(200, 2000), st.none() | st.integers(0, 100_000)), max_size=250)
)
def test_what_goes_starts_as_early_as_there_is_room_for(rows: list[tuple[int, int | None]]) -> None:
    found = core.starts([size for size, _ in rows], [base for _, base in rows])
    for place, (_, base) in enumerate(rows):
        links = [size + 1 for size, _ in rows[place:]]
        fits = len(links) <= limits.MAX_STATEMENTS and base is not None
        fits = fits and sum(links) + (base or 0) <= limits.MAX_STATEMENTS_SIZE
        assert (place in found) == fits
    assert found == sorted(found)


def test_without_statements_nothing_travels() -> None:
    assert core.travelling(Stored([], []), [], latest=LATEST) == Travelling([], [], [])
