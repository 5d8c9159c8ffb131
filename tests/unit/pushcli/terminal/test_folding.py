import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.terminal.folding import fold


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], ""),
        (["web01"], "web01"),
        (["web02", "web01", "web03", "web07"], "web[01-03,07]"),
        (["web9", "web10", "web8"], "web[8-10]"),
        (["web09", "web10"], "web[09-10]"),
        (["web1", "web01"], "web01,web1"),
        (["web1", "db"], "db,web1"),
        (["web01.eu", "web02.eu", "web01.us"], "web[01-02].eu,web01.us"),
        (["r1n1", "r1n2", "r2n1"], "r1n[1-2],r2n1"),
        (["a0", "a00"], "a0,a00"),
        (["a"], "a"),
    ],
)
def test_names_are_folded_into_ranges(names: list[str], folded: str) -> None:
    assert fold(names) == folded


def unfold(text: str) -> set[str]:
    names = set()
    for part in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        found = re.fullmatch(r"([^\[]*)\[([^\]]*)\]([^\[]*)", part)
        if found is None:
            names.add(part)
            continue
        before, runs, after = found.groups()
        for run in runs.split(","):
            first, _, last = run.partition("-")
            for number in range(int(first), int(last or first) + 1):
                names.add(f"{before}{number:0{len(first) if first[0] == '0' else 0}d}{after}")
    return names


@given(st.sets(st.from_regex(r"[ab]?[0-3]{0,3}[.-]?[0-9]{0,2}[x:]?", fullmatch=True).filter(bool)))
def test_no_name_is_lost_and_none_is_made_up(names: set[str]) -> None:
    assert unfold(fold(names)) == names


def test_ten_thousand_names_take_no_time() -> None:
    began = time.process_time()
    assert fold(f"node{n:05d}.rack{n % 40}.example.com" for n in range(10_000))
    assert time.process_time() - began < 2
