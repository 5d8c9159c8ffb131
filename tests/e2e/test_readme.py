"""The README's examples are run, and print what it shows."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.commands.sandbox import SAMPLES
from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import SlowFleet

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n\$ (.*?)```", README, flags=re.DOTALL)
COMMANDS = [part.partition("\n")[::2] for block in BLOCKS for part in block.split("\n$ ")]
pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    directory = tmp_path_factory.mktemp("sandbox")
    with SlowFleet(directory, ["node1", "node2", "node3"], whitelist=SAMPLES) as fleet:
        fleet.enroll(["node4"])
        yield fleet


def test_the_two_commands_stand_first_and_there_are_six_examples() -> None:
    first = re.search(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    assert first is not None
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == [
        "make demo",
        "make test",
    ]
    assert len(BLOCKS) == 6


@pytest.mark.parametrize(("command", "shown"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_an_example_prints_what_the_readme_shows(
    sandbox: Sandbox, command: str, shown: str
) -> None:
    program, *arguments = shlex.split(command)
    assert program == "pushcli"
    done = sandbox.cli(*arguments)
    pattern = ".*?".join(re.escape(part) for part in shown.split("..."))
    pattern = pattern.replace(re.escape("\n") + ".*?", r"\n.*?")
    assert re.match(pattern, done.stdout, flags=re.DOTALL), done.stdout + done.stderr
