"""Which requests a node answers."""

import pytest

from pushcli_agent.whitelist import Whitelist

WHITELIST = Whitelist({"chef-client": "chef-client --once", "": "true", "a b": "date"})


def test_a_name_on_the_whitelist_stands_for_its_command() -> None:
    assert WHITELIST.command_for("chef-client") == "chef-client --once"
    assert WHITELIST.command_for("a b") == "date"


@pytest.mark.parametrize(
    "request_",
    [
        "chef-client ", " chef-client", "Chef-Client", "chef-client --once", "chef-client;id",
        "chef-client\n", "chef-client\0", "chef", "a  b", "*",
    ],
)  # fmt: skip
def test_anything_else_is_not_on_it(request_: str) -> None:
    assert WHITELIST.command_for(request_) is None


def test_later_changes_of_the_table_have_no_effect() -> None:
    table = {"a": "true"}
    whitelist = Whitelist(table)
    table["b"] = "true"
    assert whitelist.command_for("b") is None
