"""Where a job's command may begin."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli_agent.running import directories
from pushcli_agent.running.directories import Directory, DirectoryRefused
from tests.support.descriptors import open_descriptors


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """`app` and `evil`, and no descriptor left open by what was chosen."""
    for name in ("app", "app/sub", "evil"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    before = open_descriptors()
    yield tmp_path
    assert open_descriptors() == before


def chosen(
    asked: str | None,
    allowed: list[str] | None,
    *,
    preset: str | None = None,
    widened: tuple[str, ...] = (),
) -> tuple[str, bool]:
    """Its path, and whether it is held open."""
    found: Directory = directories.choose(asked, allowed, preset=preset, widened=widened)
    is_open = found.descriptor >= 0
    if is_open:
        assert os.path.samestat(os.fstat(found.descriptor), Path(found.path).stat())
    found.close()
    return found.path, is_open


def refusal(asked: str, allowed: list[str] | None, **entry: str | tuple[str, ...]) -> str:
    with pytest.raises(DirectoryRefused) as refused:
        directories.choose(asked, allowed, **entry)  # type: ignore[arg-type]
    assert str(refused.value).isprintable()
    return str(refused.value)


def test_a_job_that_names_none_begins_where_the_entry_says(tree: Path) -> None:
    app = str(tree / "app")
    for allowed in (None, [], ["/usr"]):
        assert chosen(None, allowed) == ("/", False)
        assert chosen(None, allowed, preset=app) == (app, True)
    with pytest.raises(DirectoryRefused, match="no such directory: '/no/such'"):
        directories.choose(None, [], preset="/no/such")


def test_without_a_list_any_directory_will_do(tree: Path) -> None:
    assert chosen(str(tree / "evil"), None) == (str(tree / "evil"), False)


def test_a_list_allows_its_directories_and_none_below_or_above(tree: Path) -> None:
    app = str(tree / "app")
    assert chosen(app, [app]) == (app, True)
    assert chosen(f"{app}/", [app]) == (app, True)
    for other in (f"{app}/sub", str(tree), "/", f"{app}/../evil", f"{app}/sub/.."[:-3]):
        assert "is not allowed: allow it with " in refusal(other, [app])


def test_an_entry_widens_by_its_own_directory_and_its_list(tree: Path) -> None:
    app, evil = str(tree / "app"), str(tree / "evil")
    assert chosen(app, [], preset=app) == (app, True)
    assert chosen(app, [], widened=(evil, app)) == (app, True)
    assert refusal(evil, [], preset=app).startswith(f"directory {evil!r} is not allowed: ")


def test_a_refusal_ends_with_the_lines_that_would_allow_it() -> None:
    assert refusal("/tmp", ["/srv"], widened=("/opt",)) == (
        "directory '/tmp' is not allowed: allow it with "
        'allowed_dirs = ["/srv", "/tmp"] in agent.toml, or dirs = ["/opt", "/tmp"] in the entry'
    )


def test_it_is_the_directory_that_counts_not_the_name_that_leads_there(tree: Path) -> None:
    app = str(tree / "app")
    (tree / "link").symlink_to(tree / "app")
    (tree / "trap").symlink_to(tree / "evil")
    # What the caller calls it never reaches the command.
    assert chosen(str(tree / "link"), [app]) == (app, True)
    assert chosen(f"{app}/sub/..", [app]) == (app, True)
    assert chosen(app, [str(tree / "link")]) == (str(tree / "link"), True)
    assert "is not allowed" in refusal(str(tree / "trap"), [app])
    assert "is not allowed" in refusal(f"{tree}/link/../evil", [app])


@pytest.mark.parametrize(
    "directory",
    ["/no/such", "", ".", "tmp", "app", "../app", "/etc/passwd", "/tmp\0", "/tmp\n", "/\ud800",
     "/" + "x" * 5000, "~", "/proc/self/cwd"],
)  # fmt: skip
def test_what_is_none_of_them_is_refused_and_tells_nothing_of_the_disk(
    directory: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    text = refusal(directory, ["/usr", str(tree / "gone")])
    assert text.startswith(("no such directory: ", "directory ")), text
    assert len(text) < 2000
    if directory.startswith("/") and directory.isprintable():
        assert "is not allowed" in text


def test_a_listed_directory_that_is_gone_is_missing_not_forbidden(tree: Path) -> None:
    gone = str(tree / "gone")
    assert refusal(gone, [gone, "/usr"]) == f"no such directory: {gone!r}"
    assert chosen("/usr", [gone, str(tree / "file"), "/usr"]) == ("/usr", True)


def test_a_listed_directory_that_cannot_be_used_says_why(tree: Path) -> None:
    (tree / "loop").symlink_to(tree / "loop")
    loop = str(tree / "loop")
    reason = f"cannot use directory {loop!r}: Too many levels of symbolic links"
    assert refusal(loop, [loop]) == reason
    assert chosen("/usr", [loop, "/usr"]) == ("/usr", True)
    with pytest.raises(DirectoryRefused, match="Too many levels"):
        directories.choose(None, [], preset=loop)


@pytest.mark.parametrize(("allowed", "known"), [(["/"], True), (["/usr"], False)])
def test_the_root_is_a_directory_like_others(allowed: list[str], known: bool) -> None:
    if known:
        assert chosen("/", allowed) == ("/", True)
    else:
        assert "is not allowed" in refusal("/", allowed)


def test_where_none_is_allowed_the_disk_is_not_even_looked_at(
    monkeypatch: pytest.MonkeyPatch, tree: Path
) -> None:
    asked, looked = str(tree / "app"), list[str]()

    def look(path: str) -> os.stat_result:
        looked.append(path)
        return os.lstat(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", look)
        with pytest.raises(DirectoryRefused, match="not allowed"):
            directories.choose(asked, [])
    assert looked == []
