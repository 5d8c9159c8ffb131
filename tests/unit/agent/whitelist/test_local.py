"""The node's own files: what is taken over, and what stays when something is wrong with them."""

import os
from pathlib import Path

import pytest

from pushcli.whitelist.entry import to_value
from pushcli_agent.whitelist.local import LocalWhitelist

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
HEAD = 'chef_server_url = "https://push/organizations/acme"\nnode_name = "web01"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "agent.toml", HEAD + '[whitelist]\na = "true"\n')
    return tmp_path / "agent.toml"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o755, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def other(file: Path, name: str, text: str) -> Path:
    return write(file.parent / "whitelist.d" / name, text)


def entries(whitelist: LocalWhitelist) -> dict[str, object]:
    return {name: to_value(entry) for name, entry in whitelist.entries.items()}


def test_both_places_are_read_in_the_order_of_their_names(file: Path) -> None:
    other(file, "20-web.toml", 'c = ["ls", "-l"]\n')
    other(
        file, "10-base.toml", 'z = "true"\n["/b (x)/"]\ncommand_line = \'echo \\1\'\nlock = true\n'
    )
    other(file, ".hidden.toml", "not toml")
    other(file, "README", "not toml")
    whitelist = LocalWhitelist(file)
    assert whitelist.error is None
    assert list(whitelist.entries) == ["a", "z", "/b (x)/", "c"]
    assert entries(whitelist)["/b (x)/"] == {"command_line": r"echo \1", "lock": True}


def test_without_a_table_and_directory_there_are_no_entries(file: Path) -> None:
    write(file, HEAD)
    whitelist = LocalWhitelist(file)
    assert (entries(whitelist), whitelist.error) == ({}, None)


def test_changes_are_taken_over(file: Path) -> None:
    whitelist = LocalWhitelist(file)
    assert not whitelist.refresh()
    # The same size, and perhaps the same moment.
    write(file, HEAD + '[whitelist]\nb = "true"\n')
    assert whitelist.refresh()
    assert entries(whitelist) == {"b": "true"}
    new = other(file, "x.toml", 'x = "true"\n')
    assert whitelist.refresh()
    assert entries(whitelist) == {"b": "true", "x": "true"}
    new.unlink()
    assert whitelist.refresh()
    assert entries(whitelist) == {"b": "true"}
    assert not whitelist.refresh()


def test_a_change_of_the_order_of_patterns_counts(file: Path) -> None:
    write(file, "[whitelist]\n'/a.*/' = 'x'\n'/.*/' = 'y'\n")
    whitelist = LocalWhitelist(file)
    write(file, "[whitelist]\n'/.*/' = 'y'\n'/a.*/' = 'x'\n")
    assert whitelist.refresh()
    assert list(whitelist.entries) == ["/.*/", "/a.*/"]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('[whitelist]\nb = "x"\nc = ]\n', 3, "Invalid value"),
        ('[whitelist]\nb = "x"\nc = {comand_line = "x"}\n', 3, "'c': unknown key 'comand_line'"),
        ('[whitelist]\n# a comment\n\nb = ""\n', 4, "'b': an empty command"),
        ('[whitelist]\nc = "x"\n[whitelist."/(a/"]\ncommand_line = "x"\n', 3, "missing )"),
        ("[whitelist]\n'/(.)/' = \"echo '\\\\1'\"\n", 2, r"\1 stands in single quotes"),
        ('whitelist = {b = "x", c = 1}\n', 1, "'c': the command is neither"),
        ('whitelist = "x"\n', 1, "whitelist must be a table"),
        ('[whitelist]\nb = "x"\nb = "y"\n', 3, "Cannot overwrite"),
        ('[whitelist]\nb = """\nx\n"""\nc = 1\n', 5, "'c': the command"),
    ],
)
def test_a_mistake_is_named_and_what_was_last_good_stays(
    file: Path, text: str, line: int, reason: str
) -> None:
    whitelist = LocalWhitelist(file)
    write(file, text)
    assert whitelist.refresh()
    assert entries(whitelist) == {"a": "true"}
    assert whitelist.error is not None
    assert whitelist.error.startswith(f"{file}, line {line}: ")
    assert reason in whitelist.error
    assert whitelist.error.isprintable()
    assert not whitelist.refresh()
    write(file, '[whitelist]\nb = "x"\n')
    assert whitelist.refresh()
    assert (entries(whitelist), whitelist.error) == ({"b": "x"}, None)


def test_at_the_start_a_bad_file_costs_its_own_entries_only(file: Path) -> None:
    bad = other(file, "bad.toml", 'x = "true"\ny = 1\n')
    other(file, "good.toml", 'g = "true"\n')
    whitelist = LocalWhitelist(file)
    assert list(whitelist.entries) == ["a", "g"]
    assert whitelist.error is not None
    assert whitelist.error.startswith(f"{bad}, line 2: 'y': ")


def test_several_bad_files_are_counted(file: Path) -> None:
    write(file, "[whitelist")
    other(file, "a.toml", "=")
    other(file, "b.toml", "=")
    assert (LocalWhitelist(file).error or "").endswith(" (and 2 more)")


def test_a_name_that_comes_twice_is_refused_where_it_came_last(file: Path) -> None:
    second = other(file, "b.toml", 'b = "true"\nc = "true"\n')
    whitelist = LocalWhitelist(file)
    first = other(file, "a.toml", 'b = "false"\n')
    assert whitelist.refresh()
    assert entries(whitelist) == {"a": "true", "b": "true", "c": "true"}
    assert whitelist.error == f"{first}: 'b' is also in {second}"
    # Nothing about a.toml changes, but what was wrong with it is mended.
    second.write_text('c = "true"\n')
    assert whitelist.refresh()
    assert (entries(whitelist), whitelist.error) == (
        {"a": "true", "b": "false", "c": "true"}, None
    )  # fmt: skip


def test_entries_may_change_places_between_files(file: Path) -> None:
    other(file, "x.toml", 'x = "1"\n')
    other(file, "y.toml", 'y = "2"\n')
    whitelist = LocalWhitelist(file)
    other(file, "x.toml", 'y = "3"\n')
    other(file, "y.toml", 'x = "4"\n')
    assert whitelist.refresh()
    assert (entries(whitelist), whitelist.error) == ({"a": "true", "y": "3", "x": "4"}, None)


def test_a_file_that_is_gone_is_an_error_only_for_agent_toml(file: Path) -> None:
    whitelist = LocalWhitelist(file)
    file.unlink()
    assert whitelist.refresh()
    assert entries(whitelist) == {"a": "true"}
    assert whitelist.error == f"cannot read {file}: No such file or directory"


def test_files_that_others_may_write_are_refused(file: Path) -> None:
    mine = other(file, "x.toml", 'x = "true"\n')
    whitelist = LocalWhitelist(file)
    mine.chmod(0o666)
    assert whitelist.refresh()
    assert whitelist.error == f"{mine} is writable by others: chmod go-w {mine}"
    assert "x" in whitelist.entries
    assert LocalWhitelist(file).entries.keys() == {"a"}
    mine.chmod(0o644)
    assert whitelist.refresh()
    assert whitelist.error is None


@as_root
def test_files_of_somebody_else_are_refused(file: Path) -> None:
    theirs = other(file, "x.toml", 'x = "true"\n')
    os.chown(theirs, 65534, 65534)
    whitelist = LocalWhitelist(file)
    assert list(whitelist.entries) == ["a"]
    assert (whitelist.error or "").startswith(f"{theirs} belongs to user 65534")
    os.chown(theirs, 0, 65534)
    theirs.chmod(0o660)
    assert whitelist.refresh()
    assert (whitelist.error or "").startswith(f"{theirs} is writable by others")


def test_a_directory_that_others_may_write_is_refused_as_a_whole(file: Path) -> None:
    other(file, "x.toml", 'x = "true"\n')
    (file.parent / "whitelist.d").chmod(0o777)
    whitelist = LocalWhitelist(file)
    assert list(whitelist.entries) == ["a"]
    assert "whitelist.d is writable by others" in (whitelist.error or "")


def test_what_is_no_file_holds_nobody_up(file: Path) -> None:
    pipe = file.parent / "whitelist.d" / "x.toml"
    pipe.parent.mkdir(mode=0o755)
    os.mkfifo(pipe, 0o600)
    assert LocalWhitelist(file).error == f"{pipe} is not a regular file"


def test_what_is_not_utf_8_is_refused_with_its_line(file: Path) -> None:
    file.write_bytes(b"[whitelist]\na = '\xff'\n")
    assert LocalWhitelist(file).error == f"{file}, line 2: not UTF-8"
