"""Every command and option: has help, stands in the documentation, collides with none."""

import re
from collections import Counter
from pathlib import Path

import click
import pytest

from pushcli.cli import root
from pushcli.terminal.command_groups import Lazy, LazyGroup
from pushcli.terminal.context import App
from pushcli.terminal.help import help_of
from tests.support.commands_tree import all_commands, own_flags
from tests.unit.test_words import ruled_out

DOCUMENTATION = Path(__file__).parents[4] / "docs" / "cli.md"
CONNECTION = {
    "-c",
    "--config",
    "--profile",
    "--server-url",
    "--ca-file",
    "--fingerprint",
    "-u",
    "--user",
    "-k",
    "--key",
}
OUTPUT = {"-F", "--format", "-o", "--columns", "--no-color", "-V", "--verbose", "-y", "--yes"}
SHARED = CONNECTION | OUTPUT
TARGETS = {"-s", "--search", "-a", "--all", "-x", "--exclude", "--limit", "--limit-seed",
           "--from-job", "--with-status"}  # fmt: skip
OPERATOR_GROUPS = {"job", "node", "whitelist", "user", "client", "group", "audit", "config"}
"""Groups whose commands talk to a server as an operator."""
ABOUT_USERS = {
    ("pushcli", "audit"), ("pushcli", "group", "add"), ("pushcli", "group", "remove"),
}  # fmt: skip
"""Commands whose `--user` names somebody they are about; who signs is `-u` alone."""
OWN = {"--user", "--profile", "--config", "--server-url", "--ca-file", "--fingerprint"}
"""Options that some commands have for themselves: what they mean there is their own."""
EVERY_COMMAND = [pytest.param(path, c, id=" ".join(path)) for path, c in all_commands()]
ASKS_ANOTHER = {
    ("pushcli", "migrate", "history"), ("pushcli", "migrate", "identities"),
    ("pushcli", "server", "join"),
}  # fmt: skip
"""Commands of another group that ask a server as an operator does."""
OPERATOR_COMMANDS = [
    pytest.param(path, c, id=" ".join(path))
    for path, c in all_commands()
    if len(path) == 1 or path[1] in OPERATOR_GROUPS
]
LAZY = [
    pytest.param(name, lazy, id=" ".join((*path, name)))
    for path, command in all_commands()
    if isinstance(command, LazyGroup)
    for name, lazy in command.lazy.items()
]
LEAVES = [p for p in EVERY_COMMAND if not isinstance(p.values[1], click.Group)]


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_every_command_and_option_has_help(path: tuple[str, ...], command: click.Command) -> None:
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{' '.join(path)} {parameter.opts}"


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_no_flag_means_two_things(path: tuple[str, ...], command: click.Command) -> None:
    flags = Counter(flag for _, flag in own_flags(command))
    assert [flag for flag, count in flags.items() if count > 1] == []


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_s_is_for_search_and_q_for_quorum(path: tuple[str, ...], command: click.Command) -> None:
    for option, flag in own_flags(command):
        assert flag != "-s" or "--search" in option.opts
        assert flag != "-q" or "--quorum" in option.opts


TWO_MEANINGS = {
    "-a": {"--all", "--attribute"},
    "-i": {"--id-only", "--ignore-case"},
    "-k": {"--key", "--client-key"},
}
"""Short options as knife (`node show -a`, `search -i`), grep and Chef's agent (`-k`) have them."""
WITH_AN_ARGUMENT_SOMEWHERE = {
    "--admin": {"client create": True, "server init": False},
    "--validator": {"client create": True, "server init": True, "agent enroll": False},
}
"""Options that are flags, or not, by what is created with them."""


def test_a_short_option_means_the_same_in_all_commands() -> None:
    meanings: dict[str, set[str]] = {}
    for _, command in all_commands():
        for option, flag in own_flags(command):
            if not flag.startswith("--"):
                long = [name for name in option.opts if name.startswith("--")]
                # `-u` alone: where --user is whom the command is about.
                meanings.setdefault(flag, set()).update(long or ["--user"])
    several = {flag: longs for flag, longs in meanings.items() if len(longs) > 1}
    assert several == TWO_MEANINGS


def test_an_option_is_a_flag_in_all_commands_or_in_none() -> None:
    kinds: dict[str, dict[str, bool]] = {}
    for path, command in all_commands():
        for option, flag in own_flags(command):
            kinds.setdefault(flag, {})[" ".join(path[1:])] = option.is_flag
    long = {flag: by for flag, by in kinds.items() if flag.startswith("--")}
    differing = {flag: by for flag, by in long.items() if len({*by.values()}) > 1}
    assert differing == WITH_AN_ARGUMENT_SOMEWHERE


@pytest.mark.parametrize(("path", "command"), OPERATOR_COMMANDS)
def test_no_option_of_a_command_hides_one_of_the_connection(
    path: tuple[str, ...], command: click.Command
) -> None:
    """The shared options are the same objects' everywhere: what else has their flag hides one."""
    shared = {flag: option.name for option, flag in own_flags(root) if flag in SHARED}
    hidden = [
        flag for option, flag in own_flags(command) if shared.get(flag, option.name) != option.name
    ]
    assert hidden == (["--user"] if path in ABOUT_USERS else [])


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_help_is_plain_english(path: tuple[str, ...], command: click.Command) -> None:
    context = click.Context(command, info_name=" ".join(path), terminal_width=10_000)
    assert not [line for line in command.get_help(context).splitlines() if ruled_out(line)]


@pytest.mark.parametrize(("path", "command"), OPERATOR_COMMANDS)
def test_operators_commands_take_the_shared_options_alike(
    path: tuple[str, ...], command: click.Command
) -> None:
    helps = {flag: option.help for option, flag in own_flags(command)}
    roots = {flag: option.help for option, flag in own_flags(root)}
    shared = SHARED - {"--user"} if path in ABOUT_USERS else SHARED
    assert {flag: helps.get(flag) for flag in shared} == {flag: roots[flag] for flag in shared}


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_every_command_takes_the_options_about_its_output_alike(
    path: tuple[str, ...], command: click.Command
) -> None:
    options = {flag: option for option, flag in own_flags(command)}
    roots = {flag: option for option, flag in own_flags(root)}
    assert {f: options[f].help for f in OUTPUT} == {f: roots[f].help for f in OUTPUT}
    form = options["--format"].type
    assert isinstance(form, click.Choice)
    assert [*form.choices] == ["text", "json", "yaml", "ndjson"]


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_help_begins_with_the_commands_own_options(
    path: tuple[str, ...], command: click.Command
) -> None:
    context = click.Context(command, info_name=" ".join(path), terminal_width=80)
    text = command.get_help(context)
    titles = re.findall(r"^(Commands|Options|Output options|Connection options):$", text, re.M)
    expected = ["Commands"] * isinstance(command, click.Group) + ["Options", "Output options"]
    is_operators = len(path) == 1 or path[1] in OPERATOR_GROUPS or path in ASKS_ANOTHER
    assert titles == expected + ["Connection options"] * is_operators
    sections = dict(zip(titles, re.split(r"^[A-Z][a-z ]+:$", text, flags=re.M)[-len(titles) :],
                        strict=True))  # fmt: skip
    assert not {*re.findall(r"--[a-z-]+", sections["Options"])} & {*OUTPUT, *CONNECTION} - OWN


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_every_command_stands_in_the_documentation(
    path: tuple[str, ...], command: click.Command
) -> None:
    assert f"`{' '.join(path)}" in DOCUMENTATION.read_text()


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_every_option_stands_in_its_commands_section(
    path: tuple[str, ...], command: click.Command
) -> None:
    section = _section(" ".join(path))
    own = {flag for _, flag in own_flags(command)} - (SHARED if len(path) > 1 else set())
    if any(parameter.name == "everything" for parameter in command.params):
        assert own >= TARGETS
        section += _naming_nodes()
    assert [flag for flag in sorted(own) if f"`{flag}" not in section] == []


def _naming_nodes() -> str:
    """What all commands that take nodes have in common."""
    text = DOCUMENTATION.read_text()
    return text.partition("## Naming nodes")[2].partition("\n## ")[0]


def _section(title: str) -> str:
    """The part of the documentation under the heading that names this command."""
    text = DOCUMENTATION.read_text()
    heading = re.search(rf"^#+ `{re.escape(title)}[ `]", text, re.MULTILINE)
    assert heading is not None, f"no heading for {title}"
    following = re.search(r"^#+ ", text[heading.end() :], re.MULTILINE)
    return text[heading.start() : heading.end() + following.start()] if following else text


@pytest.mark.parametrize("page", sorted(DOCUMENTATION.parent.glob("*.md")), ids=lambda p: p.name)
def test_what_the_documentation_says_to_type_is_there(page: Path) -> None:
    for typed in re.findall(r"`(pushcli [^`]+)`", page.read_text().replace("\n", " ")):
        if "\\n" in typed or typed == "pushcli enroll":
            # The beginning of a text that is signed.
            continue
        command: click.Command = root
        for word in typed.split()[1:]:
            if word.startswith("--"):
                known = {flag for _, flag in own_flags(command)} | {"--help"}
                assert word.partition("=")[0] in known, typed
            elif isinstance(command, click.Group) and word.isalpha() and word.islower():
                found = command.get_command(click.Context(command), word)
                assert found is not None, typed
                command = found


@pytest.mark.parametrize(("path", "command"), EVERY_COMMAND)
def test_help_in_front_is_the_help_behind(path: tuple[str, ...], command: click.Command) -> None:
    with root.make_context("pushcli", ["help"], obj=App()) as context:
        said = help_of(root, context, path[1:])
    assert said.startswith(f"Usage: {' '.join(path)} ")
    assert command.help is not None
    assert command.help.split("\n")[0].split()[0] in said


@pytest.mark.parametrize(("name", "lazy"), LAZY)
def test_the_tables_help_and_name_are_the_commands_own(name: str, lazy: Lazy) -> None:
    command = lazy.load()
    assert (command.name, command.get_short_help_str(limit=100)) == (name, lazy.help)


@pytest.mark.parametrize(("path", "command"), LEAVES)
def test_help_fits_a_terminal_of_80_columns(path: tuple[str, ...], command: click.Command) -> None:
    context = click.Context(command, info_name=" ".join(path), terminal_width=80)
    assert max(map(len, command.get_help(context).splitlines())) <= 80
