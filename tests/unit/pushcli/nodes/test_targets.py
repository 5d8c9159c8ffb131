"""What operators type for nodes, as node names."""

import pytest
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet
from hypothesis import given
from hypothesis import strategies as st

from pushcli.errors import NotFound, UsageError
from pushcli.nodes import targets
from pushcli.nodes.targets import evaluate, parse

KNOWN = ["db1", "db2", "sales:web", "web1", "web1.eu", "web2", "web10"]


def names(text: str, known: list[str] = KNOWN, **files: str) -> list[str]:
    return evaluate(parse(text), known, files)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web1", ["web1"]),
        ("nobody", ["nobody"]),
        ("sales:web", ["sales:web"]),
        ("-a", ["-a"]),
        ("web[01-03,7]", ["web7", "web01", "web02", "web03"]),
        ("web[09-10]", ["web09", "web10"]),
        ("r[1-2]n[3,5].eu", ["r1n3.eu", "r1n5.eu", "r2n3.eu", "r2n5.eu"]),
        ("web[1-9/4]", ["web1", "web5", "web9"]),
        ("web[1-3]5", ["web15", "web25", "web35"]),
        ("web*", ["web1", "web1.eu", "web2", "web10"]),
        ("web?", ["web1", "web2"]),
        ("web[1-2]*", ["web1", "web1.eu", "web2", "web10"]),
        ("web[1-3]!web2", ["web1", "web3"]),
        ("web*&*.eu", ["web1.eu"]),
        ("a,b^b,c", ["a", "c"]),
        ("c,a", ["c", "a"]),
        ("a,a", ["a"]),
        (" a  b , c ! a ", ["b", "c"]),
        ("web[1, 3]", ["web1", "web3"]),
        ("web*!down*", ["web1", "web1.eu", "web2", "web10"]),
    ],
)
def test_an_expression_is_names(text: str, expected: list[str]) -> None:
    assert names(text) == expected


SETS = st.builds(
    "{}[{}-{}]".format, st.sampled_from(["a", "b.", "c1-"]), st.integers(0, 9), st.integers(9, 12)
)
OPERANDS = st.one_of(SETS, st.sampled_from(["a1", "a10", "b.9", "x", "c1-11"]))


@given(OPERANDS, st.lists(st.tuples(st.sampled_from(",!&^"), OPERANDS), max_size=5))
def test_sets_mean_what_cluster_shell_means(first: str, rest: list[tuple[str, str]]) -> None:
    text = first + "".join(operator + operand for operator, operand in rest)
    theirs = set(NodeSet(text, resolver=RESOLVER_NOGROUP))
    if theirs:
        assert set(names(text)) == theirs
    else:
        with pytest.raises(NotFound, match="no node matches"):
            names(text)


@pytest.mark.parametrize(
    "text",
    ["web[1-", "web]1[", "web[]", "web[a-c]", "web[3-1]", "web[1-010]", "web[1-2/0]", "web[[1-2]]",
     "web[-1-3]", "web[1--3]", "web[1-9" + "9" * 30 + "]"],
)  # fmt: skip
def test_a_set_that_cannot_be_read_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"invalid node set .*web\[01-20,33\]"):
        names(text)


@pytest.mark.parametrize("text", ["web/1", "..", "a,b/c", "web[1-2]/x", "é", "x" * 256])
def test_what_no_node_can_be_called_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid node name"):
        names(text)


@pytest.mark.parametrize("text", ["!web1", "a,", ",a", "a,,b", "", " ", "a!&b"])
def test_an_operator_stands_between_names(text: str) -> None:
    with pytest.raises(UsageError, match="a name is missing"):
        names(text)


@pytest.mark.parametrize(
    "text",
    ["web[1-99999999]", "a[1-1000]b[1-1000]", "x,web[1-99999999]!web[2-99999999]",
     "web[1-2000]*", "a[1-90000],b[1-90000]", "[1-999999999999999999]"],
)  # fmt: skip
def test_more_nodes_than_fit_a_job_are_refused_before_they_fill_the_memory(text: str) -> None:
    with pytest.raises(UsageError, match="at most 1"):
        names(text)


def test_a_range_of_few_nodes_may_be_too_wide() -> None:
    assert names("web[0-999999998/333333332]") == [
        "web0", "web333333332", "web666666664", "web999999996",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="the range 0-999999999/500000000 is too wide"):
        names("web[0-999999999/500000000]")


def test_what_matches_nothing_is_told() -> None:
    for text in ("zz*", "web1,zz*", "web1&db1"):
        with pytest.raises(NotFound, match="no node matches"):
            names(text)
    assert evaluate(parse("zz*"), KNOWN, {}, strict=False) == []


def test_files_hold_names_sets_and_globs() -> None:
    text = "# the web\nweb[1-2]  db*\n\nold # gone soon\n"
    assert names("@f", f=text) == ["web1", "web2", "db1", "db2", "old"]
    assert names("web*!@f", f=text) == ["web1.eu", "web10"]
    assert evaluate(parse("-"), KNOWN, {"-": "a\nb\n"}) == ["a", "b"]
    assert parse("@a,b").files == ["a,b"]


@pytest.mark.parametrize(
    ("text", "error"), [("", NotFound), ("# a\n", NotFound), ("@g", UsageError), ("-", UsageError)]
)
def test_a_file_without_names_and_one_that_names_files_are_refused(
    text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        names("@f", f=text)


@pytest.mark.parametrize(
    ("text", "count", "limit"),
    [("3", 10, 3), ("30", 10, 10), ("10%", 10, 1), ("10%", 11, 2), ("100%", 7, 7), ("0.1%", 7, 1)],
)
def test_a_limit_is_a_number_or_a_part(text: str, count: int, limit: int) -> None:
    assert targets.limit_of(text, count) == limit


@pytest.mark.parametrize("text", ["0", "0%", "101%", "many", "-1", "", "٣"])
def test_a_limit_that_makes_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        targets.limit_of(text, 10)


def test_a_seed_chooses_the_same_nodes_also_of_more() -> None:
    fleet = [f"web{n}" for n in range(100)]
    chosen = targets.sample(fleet, 10, "a")
    assert chosen == sorted(chosen, key=fleet.index)
    assert targets.sample(fleet[::-1], 10, "a") == chosen[::-1]
    assert targets.sample(fleet, 10, "b") != chosen
    assert set(targets.sample(fleet, 20, "a")) > set(chosen)


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        (["nodeX"], "^unknown node 'nodeX': did you mean 'node1'[?] --allow-unknown"),
        (["node22"], "did you mean 'node2'"),
        (["zzz"], "^unknown node 'zzz': `pushcli node list` lists all; --allow-unknown"),
        (["role:db"], "-s QUERY"),
        (["nodeX", "nodeY"], "^2 unknown nodes: nodeX,nodeY: did you mean 'node1'"),
        ([f"x{n}" for n in range(20)], r"^20 unknown nodes: x\[0-9\] and 10 more: "),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(unknown: list[str], words: str) -> None:
    known = ["node3", "node2", "node1", "node10"]
    targets.require_known(known, known)
    with pytest.raises(UsageError, match=words):
        targets.require_known([*known, *unknown], known)
