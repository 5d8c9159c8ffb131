"""What docs/coming-from-chef.md says of our commands and of the API is so."""

import re
from pathlib import Path

import click
import pytest

from pushcli.cli import root
from pushcli_server.rest.routes import routes
from tests.support.commands_tree import own_flags

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from-chef.md").read_text("utf-8")


class Nothing:
    """Handlers only keep what they are given, until they are called."""

    def __getattr__(self, name: str) -> None:
        return None


NAMED = sorted(set(re.findall(r"(?:^|`)pushcli ([a-z][^`\n|]*)", PAGE, re.MULTILINE)))
OURS = re.compile(r"(?:audit\Z|pushy/|/enroll\Z|/tokens|/members)")


def command_of(line: str) -> tuple[click.Command, list[str]]:
    """The command that a line names, and the words after its name."""
    words = line.split()
    command: click.Command = root
    while words and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            break
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("line", NAMED)
def test_a_command_and_its_options_are_there(line: str) -> None:
    command, words = command_of(line)
    assert command is not root, line
    flags = {flag for _, flag in own_flags(command)}
    assert {word for word in words if re.fullmatch("--?[a-z][a-z-]*", word)} <= flags


def test_options_of_job_start_are_there() -> None:
    table = PAGE.partition("| knife | pushcli |")[2].partition("Options of every command")[0]
    start, _ = command_of("job start")
    flags = {flag for _, flag in own_flags(start)}
    rows = [row for row in table.splitlines() if row.startswith("| `-")]
    named = {flag for row in rows for flag in re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row)}
    assert len(rows) == 8
    assert named <= flags


def test_the_table_of_chefs_api_is_what_is_answered() -> None:
    table = PAGE.partition("| path | methods |")[2].partition("\n\n")[0]
    told: dict[str, set[str]] = {}
    for row in table.splitlines()[2:]:
        paths, methods = row.strip("| ").split(" | ")
        for path in re.findall("`([^`]+)`", paths):
            told[path.replace("...", "/organizations/ORG")] = set(methods.split(", "))
    there: dict[str, set[str]] = {}
    for route in routes(Nothing(), None):  # type: ignore[arg-type]
        path = re.sub(r"\(\?P<(\w+)>[^)]*\)", _named, route.pattern.pattern)
        if not OURS.search(path):
            there.setdefault(path, set()).update(route.methods)
    assert told == there


def _named(match: "re.Match[str]") -> str:
    return {"org": "ORG", "key": "KEY"}.get(match[1], "NAME")
