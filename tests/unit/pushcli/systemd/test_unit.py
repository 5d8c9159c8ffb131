"""Unit files: what is changed in them, and how a change by somebody else is noticed."""

import pytest

from pushcli.errors import ConfigError
from pushcli.systemd import unit

UNIT = "[Service]\n# ExecStart=old\nExecStart=/usr/bin/true\nUser=x\nA=1\nA=2\n"


def test_a_value_is_replaced_or_removed_where_it_stands() -> None:
    changed = unit.with_values(UNIT, {"ExecStart": "/bin/false", "User": None})
    assert changed == "[Service]\n# ExecStart=old\nExecStart=/bin/false\nA=1\nA=2\n"


@pytest.mark.parametrize("name", ["Group", "A"])
def test_what_is_not_there_once_is_not_changed(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        unit.with_values(UNIT, {name: "x"})


def test_what_is_there_is_missing_the_same_ours_or_changed() -> None:
    wanted = unit.marked(UNIT, "x")
    assert unit.compare(None, wanted) == "missing"
    assert unit.compare(wanted, wanted) == "same"
    assert unit.compare(unit.marked(UNIT + "B=1\n", "x"), wanted) == "ours"
    assert unit.compare(wanted + "B=1\n", wanted) == "changed"
    assert unit.compare(UNIT, wanted) == "changed"
    # What `systemctl mask` leaves.
    assert unit.compare("", wanted) == "changed"


def test_words_of_a_command_arrive_as_they_are() -> None:
    words = ["/opt/p", "a b", 'q"\\', "50%", "$HOME", "it's"]
    line = '/opt/p "a b" "q\\"\\\\" 50%% "$$HOME" "it\'s"'
    assert unit.command_line(words) == line
    assert unit.paths(["/a b", "/$x", "/%"]) == '"/a b" "/$x" /%%'


def test_a_line_more_cannot_be_slipped_in() -> None:
    with pytest.raises(ConfigError, match="control character"):
        unit.command_line(["/opt/x\nUser=root"])
    with pytest.raises(ConfigError, match="is not text"):
        unit.command_line(["/opt/\udcff"])
