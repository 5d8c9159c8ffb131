"""Both sources as one."""

import pytest

from pushcli.whitelist.entry import parse
from pushcli_agent.whitelist.merged import MergedWhitelist


def whitelist(local: dict[str, str], server: dict[str, str] | None = None) -> MergedWhitelist:
    return MergedWhitelist(
        {name: parse(name, value, local=True) for name, value in local.items()},
        {name: parse(name, value, local=False) for name, value in (server or {}).items()},
    )


def answer(whitelist: MergedWhitelist, request: str) -> tuple[object, str] | None:
    match = whitelist.find(request)
    return None if match is None else (match.command, whitelist.source(match.entry.name))


def test_a_name_on_the_whitelist_stands_for_its_command() -> None:
    one = whitelist({"chef-client": "chef-client --once"}, {"a b": "date"})
    assert answer(one, "chef-client") == ("chef-client --once", "local")
    assert answer(one, "a b") == ("date", "server")


@pytest.mark.parametrize(
    "request_",
    [
        "chef-client ", " chef-client", "Chef-Client", "chef-client --once", "chef-client;id",
        "chef-client\n", "chef-client\0", "chef", "", "*",
    ],
)  # fmt: skip
def test_anything_else_is_not_on_it(request_: str) -> None:
    assert whitelist({"chef-client": "chef-client --once"}).find(request_) is None


def test_a_local_entry_wins() -> None:
    assert answer(whitelist({"a": "local"}, {"a": "server"}), "a") == ("local", "local")


def test_names_of_both_come_before_patterns_of_either_and_local_patterns_first() -> None:
    one = whitelist({"/a.*/": "local"}, {"/(.*)/": r"server \1", "ab": "exact"})
    assert answer(one, "ab") == ("exact", "server")
    assert answer(one, "ac") == ("local", "local")
    assert answer(one, "b") == (("/bin/sh", "-c", 'server "${1}"', "sh", "b"), "server")


def test_the_first_pattern_that_matches_wins() -> None:
    one = whitelist({"/a.*/": "first", "/.*/": "second"})
    assert answer(one, "ab") == ("first", "local")
    assert answer(one, "b") == ("second", "local")


def test_later_changes_of_the_tables_have_no_effect() -> None:
    table = {"a": parse("a", "true", local=True)}
    one = MergedWhitelist(table)
    table["b"] = parse("b", "true", local=True)
    assert one.find("b") is None


@pytest.mark.parametrize(
    ("request_", "nearest"),
    [
        ("chef-client", "chef_client"), ("chef_clent", "chef_client"), ("deplyo", "deploy"),
        ("uptime", None), ("", None), ("secret_", None),
        ("chef_client" * 20, None),
    ],
)  # fmt: skip
def test_the_entry_that_was_probably_meant_is_named(request_: str, nearest: str | None) -> None:
    local = {
        name: parse(name, "true", local=True) for name in ("deploy", "x" * 200, "/chef-clients/")
    }
    value = {"command_line": "true", "operators": ["ann"]}
    server = {"secret": parse("secret", value, local=False)}
    server["chef_client"] = parse("chef_client", "true", local=False)
    assert MergedWhitelist(local, server).nearest(request_) == nearest


def test_why_an_entry_is_not_in_force_is_known_by_its_very_name() -> None:
    one = MergedWhitelist(refused={"deploy": "unsigned"})
    assert (one.why_refused("deploy"), one.why_refused("deploy ")) == ("unsigned", None)


def test_a_large_whitelist_is_not_searched_to_its_end() -> None:
    entries = {f"{n:04}": parse(f"{n:04}", "true", local=True) for n in range(2_000)}
    one = MergedWhitelist({**entries, "deploy": parse("deploy", "true", local=True)})
    assert one.nearest("deplo") is None
