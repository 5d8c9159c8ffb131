"""Search in both databases: what it finds is what a reading of the query says."""

import asyncio
import fnmatch
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushcli.protocol.attributes import LEVELS
from pushcli_server.search import flatten
from pushcli_server.search import query as q
from pushcli_server.search.query import parse
from pushcli_server.store import Store, chef_nodes, identity_reads, operations, search
from pushcli_server.store.records import NodeObject
from tests.integration.store.conftest import Database
from tests.integration.store.writing import ORGS

pytestmark = pytest.mark.timeout(120)

NODES: dict[str, dict[str, Any]] = {
    "web01": {"automatic": {"role": "x", "cpu": {"total": 4}, "ipaddress": "10.0.0.1"},
              "run_list": ["role[web]"], "chef_environment": "prod", "normal": {"tags": ["blue"]}},
    "web02": {"automatic": {"cpu": {"total": 16}, "ipaddress": "10.0.0.2"},
              "run_list": ["role[web]", "recipe[a::b]"], "chef_environment": "dev"},
    "Web03": {"automatic": {"os": "Linux"}, "override": {"note": "a b %_[x]*?"}},
    "db01": {"automatic": {"cpu": {"total": 9}, "os": "linux"}, "run_list": ["role[db]"],
             "normal": {"tags": ["blue", "eu"]}},
    "bare": {},
}  # fmt: skip


def put(name: str, content: dict[str, Any], org: str = "acme") -> operations.PutNode:
    texts: dict[str, Any] = {
        key: json.dumps(content[key]) for key in ("run_list", *LEVELS) if key in content
    }
    environment = content.get("chef_environment", "_default")
    node = NodeObject(org=org, name=name, chef_environment=environment, **texts)
    return operations.PutNode(node=node, create=True)


async def filled(store: Store) -> None:
    await store.write(*ORGS, *(put(name, content) for name, content in NODES.items()))
    await store.write(put("web01", {"run_list": ["role[elsewhere]"]}, "other"))


async def found(store: Store, text: str, org: str = "acme") -> list[str]:
    return await store.ask(search.names, org, parse(text))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("*:*", ["Web03", "bare", "db01", "web01", "web02"]),
        ("web*", ["web01", "web02"]),
        ("Web*", ["Web03"]),
        ("name:web0?", ["web01", "web02"]),
        ("node:db01", ["db01"]),
        ("role:web", ["web01", "web02"]),
        ("role:web AND chef_environment:prod", ["web01"]),
        ("role:web AND NOT chef_environment:prod", ["web02"]),
        ("NOT role:*", ["Web03", "bare"]),
        ("chef_environment:_default", ["Web03", "bare", "db01"]),
        ("recipes:a::b", ["web02"]),
        ("tags:blue -tags:eu", ["web01"]),
        ("cpu_total:[4 TO 9]", ["db01", "web01"]),
        ("cpu_total:{4 TO 16}", ["db01"]),
        ("cpu_total:[9 TO *]", ["db01", "web02"]),
        ("total:16", ["web02"]),
        ("ipaddress:[10.0.0.1 TO 10.0.0.1]", ["web01"]),
        ("ipaddress:10.0.*", ["web01", "web02"]),
        ("name:[db TO web01]", ["db01", "web01"]),
        ("os:linux", ["db01"]),
        ('note:"a b %_[x]*?"', ["Web03"]),
        (r"note:*%_\[x\]\*\?", ["Web03"]),
        (r"note:*%%*", []),
        ("*:Linux", ["Web03"]),
        ("nosuch:*", []),
    ],
)
def test_the_same_nodes_are_found_in_both(database: Database, text: str, names: list[str]) -> None:
    async def scenario(store: Store) -> None:
        await filled(store)
        assert await found(store, text) == names

    database.run(scenario)


def test_organizations_stay_apart(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await filled(store)
        assert await found(store, "role:elsewhere") == []
        assert await found(store, "role:elsewhere", "other") == ["web01"]

    database.run(scenario)


def test_what_changes_is_found_anew_and_what_goes_is_not(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await filled(store)
        node = NodeObject(org="acme", name="web01", run_list='["role[cache]"]')
        await store.write(operations.PutNode(node=node))
        assert await found(store, "role:web") == ["web02"]
        assert await found(store, "role:cache") == ["web01"]
        store.submit(operations.SetAutomatic(org="acme", name="web02", automatic='{"rack": "r7"}'))
        assert await found(store, "rack:r7 AND role:web AND cpu_total:16") == ["web02"]
        await store.write(operations.DeleteNode("acme", "web01"))
        assert await found(store, "web0*") == ["web02"]
        assert await found(store, "role:cache") == []

    database.run(scenario)


def test_what_agents_tell_does_not_grow_without_end(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await filled(store)
        for number in range(40):
            told = msgspec.json.encode({f"part{number}": "x" * 39_000, "n": number}).decode()
            store.submit(operations.SetAutomatic(org="acme", name="web02", automatic=told))
            await store.barrier()
        (node,) = await store.ask(chef_nodes.of_nodes, "acme", ["web02"])
        assert 900_000 < len(node.automatic) <= chef_nodes.MAX_AUTOMATIC
        # What is smaller than what it replaces still gets in.
        told = '{"part0": "y"}'
        store.submit(operations.SetAutomatic(org="acme", name="web02", automatic=told))
        assert await found(store, "part0:y AND part24:x*") == ["web02"]

    database.run(scenario)


def test_a_node_that_only_enrolled_is_found_by_its_name(database: Database) -> None:
    async def scenario(store: Store) -> None:
        client = operations.CreateClient(org="acme", name="new01", public_key="p", enrolls=True)
        await store.write(*ORGS, client)
        assert await found(store, "new*") == ["new01"]
        assert await found(store, "chef_environment:_default") == ["new01"]

    database.run(scenario)


def test_the_longest_queries_are_answered(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await filled(store)
        many = " ".join(f"a{number}:{number}*" for number in range(q.MAX_TERMS - 1))
        assert await found(store, f"{many} web01") == ["web01"]
        deep = "(" * 40 + "web01" + ")" * 40
        assert await found(store, deep) == ["web01"]
        assert await found(store, "NOT " * 201 + "web01") != ["web01"]

    database.run(scenario)


# --- against a reading of our own

FIELDS = ("role", "tags", "cpu_total", "os", "name", "chef_environment", "note")
VALUES = ("web", "db", "blue", "eu", "4", "16", "linux", "Linux", "web01", "prod", "a b %_[x]*?")
terms = st.builds(q.Term, st.sampled_from((*FIELDS, "*")), st.sampled_from(VALUES))
wildcards = st.builds(
    q.Wildcard,
    st.sampled_from(FIELDS),
    st.lists(st.sampled_from(["w", "eb", "l", "%", "_", "[", *q.Wild]), min_size=2, max_size=4).map(
        tuple
    ),
)
ranges = st.builds(
    q.Range, st.sampled_from(FIELDS), st.sampled_from(["4", "9", "db", None]),
    st.sampled_from(["16", "linux", "web02", None]), st.booleans(), st.booleans(),
)  # fmt: skip
leaves = terms | wildcards | ranges | st.builds(q.Exists, st.sampled_from(FIELDS))
queries = st.recursive(
    leaves | st.just(q.Everything()),
    lambda inner: (
        st.builds(q.Not, inner)
        | st.builds(lambda x: q.And(tuple(x)), st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda x: q.Or(tuple(x)), st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=6,
)


def reads(node: dict[str, Any], query: q.Query) -> bool:
    """Whether a node matches, by the plainest reading."""
    fields = flatten.fields(node)
    own = {"name": node["name"], "chef_environment": node["chef_environment"]}

    def values(field: str) -> list[str]:
        if field in own:
            return [own[field]]
        return [value for name, value in fields if field in {name, q.ANY_FIELD}]

    match query:
        case q.Everything():
            return True
        case q.And(inner):
            return all(reads(node, one) for one in inner)
        case q.Or(inner):
            return any(reads(node, one) for one in inner)
        case q.Not(inner):
            return not reads(node, inner)
        case q.Exists(field):
            return bool(values(field))
        case q.Term(field, value):
            return value in values(field)
        case q.Wildcard(field, pattern):
            text = "".join(
                p.value if isinstance(p, q.Wild) else p.replace("[", "[[]") for p in pattern
            )
            expression = re.compile(fnmatch.translate(text))
            return any(expression.match(value) for value in values(field))
        case q.Range():
            return any(within(value, query) for value in values(query.field))


def within(value: str, span: q.Range) -> bool:
    ends: list[Any] = [span.low, span.high]
    given = [end for end in ends if end is not None]
    numeric = bool(given) and all(end.isdigit() for end in given)
    if numeric and span.field not in {"name", "chef_environment"}:
        try:
            number: Any = float(value)
        except ValueError:
            return False
        low, high = (None if end is None else float(end) for end in ends)
    else:
        number, (low, high) = value.encode(), [e and e.encode() for e in ends]
    if low is not None and (number < low or (number == low and not span.includes_low)):
        return False
    return high is None or number < high or (number == high and span.includes_high)


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(st.lists(queries, min_size=60, max_size=60))
def test_it_finds_what_a_plain_reading_finds(database: Database, many: list[q.Query]) -> None:
    nodes = {
        name: {"name": name, "chef_environment": "_default", **content}
        for name, content in NODES.items()
    }

    async def scenario(store: Store) -> None:
        if not await store.ask(identity_reads.organizations):
            await filled(store)
        for query in many:
            expected = sorted(name for name, node in nodes.items() if reads(node, query))
            assert await store.ask(search.names, "acme", query) == expected, query

    database.run(scenario)


def test_searches_and_writes_at_once(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await filled(store)
        answers = await asyncio.gather(
            *(found(store, "role:web") for _ in range(20)),
            *(
                store.write(operations.PutNode(node=NodeObject(org="acme", name="bare")))
                for _ in range(20)
            ),
        )
        assert answers[:20] == [["web01", "web02"]] * 20

    database.run(scenario)
