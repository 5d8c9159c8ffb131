"""`pushcli whitelist ... --local FILE`, as its own program."""

import json
import sys
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.program import Home, Result, assert_one_line
from tests.integration.cli.terminal import on_terminal
from tests.support.waiting import patient

pytestmark = pytest.mark.slow

AGENT = """\
# The agent of web01
node_name = "web01"

[whitelist]
# who is there
uptime = "uptime" # harmless
'/restart (\\w+)/' = 'systemctl restart \\1'

[other]
"""


@pytest.fixture
def file(home: Home) -> Path:
    path = home.path / "agent.toml"
    path.write_text(AGENT)
    path.chmod(0o640)
    return path


def whitelist(home: Home, *arguments: str, **env: str) -> Result:
    return home.run("whitelist", *arguments, "--local", "agent.toml", **env)


def by_editor(home: Home, script: str) -> str:
    """An editor that does this to the file `$1`."""
    program = home.path / "editor.sh"
    program.write_text(f"#!/bin/sh\nset -e\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_an_entry_is_added_shown_and_removed(home: Home, file: Path) -> None:
    added = whitelist(
        home, "add", "sync", "ntpdate -u 'my server'", "--no-shell", "--lock", "--timeout", "5",
        "--operator", "ann", "--operator", "bob", "--description", "the clock",
    )  # fmt: skip
    assert (added.status, added.stdout) == (ExitStatus.OK, "agent.toml is written\n"), added
    line = (
        'sync = {command_line = ["ntpdate", "-u", "my server"], lock = true, '
        'description = "the clock", operators = ["ann", "bob"], timeout = 5}\n'
    )
    assert sorted(file.read_text().splitlines()) == sorted((AGENT + line).splitlines())
    assert file.stat().st_mode & 0o777 == 0o640
    shown = json.loads(whitelist(home, "show", "sync", "-F", "json").stdout)
    assert shown["value"]["lock"] is True
    assert "lock, description the clock" in whitelist(home, "show", "sync").stdout
    assert whitelist(home, "remove", "sync").status == ExitStatus.OK
    assert file.read_text() == AGENT


def test_a_pattern_gets_its_slashes(home: Home, file: Path) -> None:
    assert whitelist(home, "add", r"ls (\w+)", r"ls \1", "--pattern").status == ExitStatus.OK
    assert r"""'/ls (\w+)/' = 'ls \1'""" in file.read_text()
    assert whitelist(home, "remove", r"ls (\w+)", "--pattern").status == ExitStatus.OK
    assert file.read_text() == AGENT


def test_adding_what_is_there_changes_nothing(home: Home, file: Path) -> None:
    assert whitelist(home, "add", "uptime", "uptime").stdout == "agent.toml is unchanged\n"


def test_the_list_marks_what_the_agent_would_refuse(home: Home, file: Path) -> None:
    file.write_text('[whitelist]\na = "b"\nbad = {comand_line = "x"}\n')
    rows = [line.split("\t") for line in whitelist(home, "list").stdout.splitlines()]
    assert rows[0] == ["a", "b", "", "local", "agent.toml"]
    assert rows[1][3].startswith("invalid: ")
    assert "command_line" in rows[1][3]


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ("uptime", ExitStatus.OK, ["would run: uptime", "by the entry uptime (local)"]),
        ("restart nginx", ExitStatus.OK,
         [r"""would run: /bin/sh -c 'systemctl restart "${1}"' sh nginx""", r"/restart (\w+)/"]),
        ("restart a;b", ExitStatus.WOULD_NOT_RUN, ["nothing", "not on the whitelist"]),
    ],
)  # fmt: skip
def test_a_request_is_tried_without_running_it(
    home: Home, file: Path, request_: str, status: int, words: list[str]
) -> None:
    result = whitelist(home, "test", request_)
    assert result.status == status, result
    for word in words:
        assert word in result.stdout


def test_a_file_of_whitelist_d_has_entries_at_its_top(home: Home) -> None:
    path = home.path / "whitelist.d" / "web.toml"
    path.parent.mkdir()
    path.write_text("# web\n")
    assert home.run("whitelist", "add", "a", "b", "--local", str(path)).status == ExitStatus.OK
    assert path.read_text() == '# web\na = "b"\n'
    assert home.run("whitelist", "list", "--local", str(path)).stdout.startswith("a\tb\t")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["remove", "nosuch"], ExitStatus.NOT_FOUND, ["no entry 'nosuch'"]),
        (["show", "nosuch"], ExitStatus.NOT_FOUND, ["no entry 'nosuch'"]),
        (["add", "x", ""], ExitStatus.USAGE, ["'x'"]),
        (["add", "x", "a 'b", "--no-shell"], ExitStatus.USAGE, ["quot"]),
        (["add", "(", "a", "--pattern"], ExitStatus.USAGE, ["'/(/'"]),
        (["add", "/a/", "b", "--pattern"], ExitStatus.USAGE, ["leave out --pattern", "//a//"]),
        (["remove", "/a/", "--pattern"], ExitStatus.USAGE, ["leave out --pattern", "//a//"]),
        (["edit"], ExitStatus.USAGE, ["no terminal", "EDITOR"]),
        (["add", "x", "a", "web01"], ExitStatus.USAGE, ["--local"]),
        (["list", "-s", "*:*"], ExitStatus.USAGE, ["--local"]),
        (["show", "web01", "x"], ExitStatus.USAGE, ["--local excludes nodes"]),
        (["diff"], ExitStatus.USAGE, ["no nodes given"]),
        (["test", "a b", "c"], ExitStatus.USAGE, ["--local excludes nodes"]),
    ],
)
def test_mistakes_are_one_line(
    home: Home, file: Path, arguments: list[str], status: int, words: list[str]
) -> None:
    assert_one_line(whitelist(home, *arguments), status, *words)
    assert file.read_text() == AGENT


@pytest.mark.parametrize("text", ['whitelist = {a = "b"}\n', "whitelist = 1\n", "a =\n", None])
def test_a_file_that_cannot_be_edited_stays(home: Home, text: str | None) -> None:
    path = home.path / "agent.toml"
    if text is not None:
        path.write_text(text)
    assert_one_line(whitelist(home, "add", "x", "y"), ExitStatus.CONFIG, "agent.toml")
    assert (path.read_text() if path.exists() else None) == text


def test_what_the_editor_saved_is_checked_shown_and_written(home: Home, file: Path) -> None:
    editor = by_editor(home, """sed -i 's/= "uptime"/= "uptime -p"/' "$1" """)
    result = whitelist(home, "edit", "-y", EDITOR=editor)
    assert result.status == ExitStatus.OK, result
    assert '-uptime = "uptime" # harmless' in result.stdout
    assert '+uptime = "uptime -p" # harmless' in result.stdout
    assert file.read_text() == AGENT.replace('= "uptime"', '= "uptime -p"')


def test_without_a_change_it_says_so(home: Home, file: Path) -> None:
    result = whitelist(home, "edit", EDITOR="true")
    assert (result.status, result.stderr) == (ExitStatus.OK, "agent.toml is unchanged\n")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'x = {' >> $1", ["invalid TOML"]),
        ("echo '[whitelist.bad]' >> $1", ["'bad'"]),
        ("echo '# more' >> $1", ["-y"]),
        ("echo '# more' >> $1; exit 3", ["status 3"]),
    ],
)
def test_what_was_typed_is_kept_where_it_could_not_be_used(
    home: Home, file: Path, script: str, words: list[str]
) -> None:
    temporary = home.path / "tmp"
    temporary.mkdir()
    result = whitelist(home, "edit", EDITOR=by_editor(home, script), TMPDIR=str(temporary))
    assert result.status != ExitStatus.OK
    (directory,) = temporary.iterdir()
    kept = directory / "agent.toml"
    for word in [*words, f"what you typed is kept in {kept}"]:
        assert word in result.stderr
    assert result.stderr.splitlines()[-1].startswith("pushcli: error: ")
    assert kept.read_text().startswith(AGENT)
    assert (directory.stat().st_mode & 0o777, kept.stat().st_mode & 0o777) == (0o700, 0o600)
    assert file.read_text() == AGENT


def test_nothing_is_left_where_nothing_was_typed(home: Home, file: Path) -> None:
    temporary = home.path / "tmp"
    temporary.mkdir()
    for editor in ("true", "false", "/nosuch", "'"):
        whitelist(home, "edit", "-y", EDITOR=editor, TMPDIR=str(temporary))
    editor = by_editor(home, 'sed -i s/harmless/useful/ "$1"; cp "$1" "$1~"')
    assert whitelist(home, "edit", "-y", EDITOR=editor, TMPDIR=str(temporary)).status == 0
    assert list(temporary.iterdir()) == []


def test_the_file_that_somebody_else_changed_meanwhile_is_not_overwritten(
    home: Home, file: Path
) -> None:
    editor = by_editor(home, f"echo '# mine' >> $1; echo '# theirs' >> {file}")
    result = whitelist(home, "edit", "-y", EDITOR=editor, TMPDIR=str(home.path))
    assert_one_line(
        Result(result.status, "", result.stderr),
        ExitStatus.CONFIG,
        "changed in the meantime",
        "kept in",
    )
    assert file.read_text() == AGENT + "# theirs\n"


def test_on_a_terminal_an_error_reopens_the_editor_and_then_it_asks(home: Home, file: Path) -> None:
    script = """
    if grep -q '^# ERROR: ' "$1"; then cp "$1" "$HOME/seen"; sed -i 's/^bad$/good = "g"/' "$1"
    else sed -i 's/^# who is there$/bad/' "$1"; fi
    """
    arguments = ("whitelist", "edit", "--local", "agent.toml")
    with on_terminal(home, *arguments, EDITOR=by_editor(home, script)) as terminal:
        terminal.expect("or edit again (e)?")
        terminal.child.sendline("y")
        assert terminal.end() == ExitStatus.OK
    assert (home.path / "seen").read_text().startswith("# ERROR: agent.toml: invalid TOML")
    assert file.read_text() == AGENT.replace("# who is there", 'good = "g"')


def test_ctrl_c_at_the_question_keeps_what_was_typed(home: Home, file: Path) -> None:
    editor = by_editor(home, "echo '# mine' >> $1")
    child = pexpect.spawn(
        sys.executable, ["-m", "pushcli", "whitelist", "edit", "--local", "agent.toml"],
        cwd=home.path, encoding="utf-8", dimensions=(30, 300),
        env={**home.env, "EDITOR": editor, "TMPDIR": str(home.path)},
    )  # fmt: skip
    child.expect_exact("or edit again (e)?", timeout=patient(10))
    child.sendintr()
    child.expect(r"what you typed is kept in (\S+)", timeout=patient(10))
    assert Path(child.match[1]).read_text() == AGENT + "# mine\n"
    child.expect(pexpect.EOF, timeout=patient(10))
    child.close()
    assert child.exitstatus == ExitStatus.INTERRUPTED
    assert file.read_text() == AGENT
