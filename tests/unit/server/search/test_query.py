"""Queries as Chef's users write them, and everything else refused, quickly."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.search.query import (
    MAX_LENGTH,
    MAX_TERMS,
    And,
    BadQuery,
    Everything,
    Exists,
    Not,
    Or,
    Query,
    Range,
    Term,
    Wild,
    Wildcard,
    parse,
)

A, B, C = (Term("name", name) for name in "abc")
MANY, ONE = Wild.MANY, Wild.ONE


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("*:*", Everything()),
        ("*", Exists("name")),
        ("a", A),
        ("web*", Wildcard("name", ("web", MANY))),
        ("name:w?b*1", Wildcard("name", ("w", ONE, "b", MANY, "1"))),
        ("role:*", Exists("role")),
        ("*:x", Term("*", "x")),
        ("  role:web  ", Term("role", "web")),
        ("role:web* AND chef_environment:prod",
         And((Wildcard("role", ("web", MANY)), Term("chef_environment", "prod")))),
        ("a AND b && c", And((A, B, C))),
        ("a OR b || c", Or((A, B, C))),
        ("a b", Or((A, B))),
        ("a&&b||c", Or((And((A, B)), C))),
        ("a OR b AND c", Or((A, And((B, C))))),
        ("(a OR b) AND c", And((Or((A, B)), C))),
        ("NOT a", Not(A)),
        ("!a", Not(A)),
        ("-a", Not(A)),
        ("NOT NOT a", A),
        ("!role:x", Not(Term("role", "x"))),
        ("a AND NOT b", And((A, Not(B)))),
        ("a AND !b", And((A, Not(B)))),
        ("a OR -b", Or((A, Not(B)))),
        ("a -b", And((A, Not(B)))),
        ("a NOT b", And((A, Not(B)))),
        ("+a b", A),
        ("+a +b -c", And((A, B, Not(C)))),
        ("NOT (a OR b)", Not(Or((A, B)))),
        ("name:(a OR b)", Or((A, B))),
        ("role:(x AND -y)", And((Term("role", "x"), Not(Term("role", "y"))))),
        ('name:"a b"', Term("name", "a b")),
        (r'name:"a \"b\""', Term("name", 'a "b"')),
        ('"a*"', Term("name", "a*")),
        (r"name:a\*", Term("name", "a*")),
        (r"name:a\ b", Term("name", "a b")),
        ("recipes:apache2::default", Term("recipes", "apache2::default")),
        (r"recipe:apache2\:\:default", Term("recipe", "apache2::default")),
        (r"run_list:recipe\[x\]", Term("run_list", "recipe[x]")),
        ("run_list:role[web]", Term("run_list", "role[web]")),
        ("kernel_machine:x86_64", Term("kernel_machine", "x86_64")),
        ("fqdn:web-01.example.com", Term("fqdn", "web-01.example.com")),
        ("web-01", Term("name", "web-01")),
        ("AND1", Term("name", "AND1")),
        ("NOTE:x", Term("NOTE", "x")),
        ("n:[1 TO 5]", Range("n", "1", "5", True, True)),
        ("n:{1 TO 5}", Range("n", "1", "5", False, False)),
        ("n:[* TO 5}", Range("n", None, "5", True, False)),
        ('n:["a b" TO *]', Range("n", "a b", None, True, True)),
        ("ipaddress:10.0.*", Wildcard("ipaddress", ("10.0.", MANY))),
        ("a|b", Term("name", "a|b")),
        ("a&b", Term("name", "a&b")),
    ],
)  # fmt: skip
def test_it_means(text: str, query: Query) -> None:
    assert parse(text) == query


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "(", ")", "()", "a AND", "AND a", "a OR", "OR", "NOT", "a AND OR b", ":x", "role:",
        "role: x", 'name:"a', '"', "\\", "a\\", "n:[1 TO]", "n:[1 5]", "n:[1 TO 5", "[1 TO 5]",
        "(a", "a)", "role:()", "na*me:x", "a\0b", "(" * 3000, "(" * 60 + "a" + ")" * 60,
        "NOT " * 1100 + "(", "a " * (MAX_TERMS + 1), "a" * (MAX_LENGTH + 1),
    ],
)  # fmt: skip
def test_it_is_refused(text: str) -> None:
    with pytest.raises(BadQuery):
        parse(text)


fragments = st.lists(
    st.sampled_from(
        ["a", "b:", "c*", " ", "(", ")", '"', "[", "]", "{", "}", " TO ", " AND ", " OR ", "NOT ",
         "!", "-", "+", "&&", "||", "\\", ":", "*", "?", "&", "|", "\n", "é"]
    ),
    max_size=1500,
)  # fmt: skip


@given(fragments.map("".join) | st.text(max_size=MAX_LENGTH))
def test_whatever_comes_is_a_query_or_refused_at_once(text: str) -> None:
    begin = time.process_time()
    with contextlib.suppress(BadQuery):
        parse(text[:MAX_LENGTH])
    assert time.process_time() - begin < 0.5
