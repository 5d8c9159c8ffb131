import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.nodes.targets import evaluate, parse
from pushcli.protocol.names import by_number, is_node_name
from pushcli.terminal.folding import fold


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], ""),
        (["web01"], "web01"),
        (["web02", "web01", "web03", "web07"], "web[01-03,07]"),
        (["web9", "web10", "web8"], "web[8-10]"),
        (["web09", "web10"], "web[09-10]"),
        (["web1", "web01"], "web[1,01]"),
        (["web1", "db"], "db,web1"),
        (["web01.eu", "web02.eu", "web01.us"], "web[01-02].eu,web01.us"),
        (["r1n1", "r1n2", "r2n1"], "r1n[1-2],r2n1"),
        (["a0", "a00"], "a[0,00]"),
        ([f"web{n:02}" for n in range(1, 50, 2)], "web[01-49/2]"),
        (["web1", "web3", "web5", "web7"], "web[1,3,5,7]"),
        ([f"web{n}.eu" for n in (1, 2, 3, 4, 10, 20, 30, 40, 50, 99)], "web[1-4,10-50/10,99].eu"),
        (["a"], "a"),
    ],
)
def test_names_are_folded_into_ranges(names: list[str], folded: str) -> None:
    assert fold(names) == folded


def read_back(text: str) -> list[str]:
    if text == "-":
        return [text]  # standard input is called so, and this node by any set that has it
    return evaluate(parse(text), (), {}) if text else []


@given(st.sets(st.from_regex(r"[ab]?[0-3]{0,3}[.-]?[0-9]{0,2}[x:]?", fullmatch=True)))
def test_what_is_folded_is_read_back(names: set[str]) -> None:
    names = set(filter(is_node_name, names))
    assert sorted(read_back(fold(names))) == sorted(names)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**18 - 1),
            st.one_of(st.integers(1, 12), st.integers(1, 10**17)),
            st.integers(1, 9),
            st.integers(1, 19),
        ),
        max_size=3,
    )
)
def test_numbers_in_steps_are_read_back(runs: list[tuple[int, int, int, int]]) -> None:
    """Runs as they begin, in which steps, how many there are, and how wide they are written."""
    names = {
        f"n{first + step * i:0{digits}}"
        for first, step, count, digits in runs
        for i in range(count)
    }
    assert sorted(read_back(fold(names))) == sorted(names)


@given(st.sets(st.from_regex(r"[A-Za-z0-9_.:-]{1,90}", fullmatch=True)))
def test_any_names_are_read_back(names: set[str]) -> None:
    names = set(filter(is_node_name, names))
    assert sorted(read_back(fold(names))) == sorted(names)


def test_names_are_sorted_by_their_numbers() -> None:
    names = ["web10", "web9.eu", "web9", "db", "web09", "10", "9", "web9.us2", "web" + "9" * 5000]
    assert sorted(names, key=by_number) == [
        "9", "10", "db", "web09", "web9", "web9.eu", "web9.us2", "web10", "web" + "9" * 5000,
    ]  # fmt: skip
    assert fold(["web10", "db3", "a9", "a10", "db20x"]) == "a[9-10],db3,db20x,web10"


def test_numbers_that_are_too_long_for_ranges_are_left_as_they_are() -> None:
    for digits in (100, 19):
        names = ["9" * digits, "8" * digits]
        assert fold(names) == f"{names[1]},{names[0]}"
    assert read_back(fold(["8" * 18, "9" * 18])) == ["8" * 18, "9" * 18]


def test_more_ranges_than_anybody_reads_are_names() -> None:
    pairs = [f"{letters}{n}" for letters in _words(3_000) for n in (1, 3)]
    assert fold(pairs) == ",".join(sorted(pairs))
    assert fold(pairs[:2_000]).count("[1,3]") == 1_000


def _words(count: int) -> list[str]:
    letters = "abcdefghijklmno"
    return ["".join(letters[n // 15**i % 15] for i in (2, 1, 0)) for n in range(count)]


def test_ten_thousand_names_take_no_time() -> None:
    chosen = random.Random(1)
    regular = [f"node{n:05d}.rack{n % 40}.example.com" for n in range(10_000)]
    irregular = [
        f"n{chosen.randrange(10**6)}.r{chosen.randrange(1000)}.x{chosen.randrange(100)}"
        for _ in range(10_000)
    ]
    began = time.process_time()
    assert fold(regular)
    assert fold(irregular)
    assert time.process_time() - began < 2
