"""Which nodes an entry is not signed for, because their agents would refuse it."""

from pushcli.whitelist.entry import BASE_KEYS, KEYS, keys_of, parse
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation.known_keys import Part, Refusal, divide, words
from pushcli.whitelist.workstation.views import InForce, NodeWhitelist

PLAIN = Change("plain", {"command_line": "true", "timeout": 5})
WIDE = Change("wide", {"command_line": "true", "env": ["A"], "user": "deploy"})
GONE = Change("gone")
NEW = NodeWhitelist(node="new", in_force=InForce(at=0, keys=list(KEYS)))
OLD = NodeWhitelist(node="old", in_force=InForce(at=0))
HALF = NodeWhitelist(node="half", in_force=InForce(at=0, keys=[*BASE_KEYS, "env"]))
SILENT = NodeWhitelist(node="silent")


def test_who_knows_all_keys_or_never_reported_gets_everything() -> None:
    changes = [PLAIN, WIDE, GONE]
    assert divide([NEW, SILENT], changes) == ([Part(["new", "silent"], changes)], [])


def test_an_agent_that_reports_no_keys_knows_those_of_0_1_0() -> None:
    for key in KEYS:
        value = {"command_line": "true", key: "x"}
        parts, refusals = divide([OLD], [Change("x", value)])
        assert bool(refusals) is (key not in BASE_KEYS)
        assert bool(parts) is (key in BASE_KEYS)


def test_the_others_of_the_changes_are_made() -> None:
    parts, refusals = divide([NEW, OLD, HALF], [PLAIN, WIDE, GONE])
    assert parts == [Part(["new"], [PLAIN, WIDE, GONE]), Part(["old", "half"], [PLAIN, GONE])]
    assert refusals == [
        Refusal("wide", ["old"], ["env", "user"]), Refusal("wide", ["half"], ["user"])
    ]  # fmt: skip


def test_where_nothing_is_left_to_change_nothing_is_signed() -> None:
    assert divide([OLD], [WIDE]) == ([], [Refusal("wide", ["old"], ["env", "user"])])


def test_the_person_reads_nodes_entry_and_keys() -> None:
    refusal = Refusal("wide", ["web01", "web02"], ["env", "user"])
    assert words(refusal) == (
        "web[01-02] would refuse the entry 'wide': the agent there does not know env, user"
    )


def test_the_keys_of_a_value_are_those_that_parse_reads() -> None:
    assert keys_of("true") == keys_of(["true"]) == {"command_line"}
    value = {"command_line": "true", "dir": "/srv"}
    assert keys_of(value) == set(value)
    parse("x", value, local=False)
