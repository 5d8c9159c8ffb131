import os
import subprocess
import sys
from pathlib import Path

import pytest

from pushcli.cli import root
from pushcli.completion import known
from pushcli.completion.answer import answer
from pushcli.completion.candidates import MOST
from pushcli.completion.known import Known, KnownJob, KnownToken
from tests.support.waiting import patient

URL = "http://127.0.0.1:1/organizations/acme"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Of an operator who needs no credentials file; nothing is due to be refreshed."""
    env = {"HOME": str(tmp_path), "PUSHCLI_SERVER_URL": URL, "PUSHCLI_USER": "ann",
           "PUSHCLI_KEY": "key.pem"}  # fmt: skip
    known.claim(known.place(URL, "ann", env), None)
    return env


def remember(env: dict[str, str], there: Known) -> None:
    known.write(known.place(URL, "ann", env), there)


def offered(env: dict[str, str], *words: str) -> list[str]:
    lines = answer(root, "fish_words", words, env).splitlines()
    return [line.partition(",")[2] for line in lines]


def test_the_last_name_of_an_expression_is_completed(env: dict[str, str]) -> None:
    remember(env, Known(nodes=["db1", "web1", "web2"], sets=["web[1-2]"]))
    assert offered(env, "job", "start", "x", "d") == ["db1"]
    assert offered(env, "job", "start", "x", "a,b!web") == [
        "a,b!web[1-2]", "a,b!web1", "a,b!web2",
    ]  # fmt: skip
    assert offered(env, "node", "status", "-x", "web[1-2],d") == ["web[1-2],db1"]
    # Within brackets a comma is no operator.
    assert offered(env, "node", "status", "web[1,d") == []
    assert offered(env, "node", "status", "web[") == ["web[1-2]"]


def test_files_are_completed_behind_an_at(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(env, Known(nodes=["web1"]))
    place = tmp_path / "place"
    (place / "lists").mkdir(parents=True)
    for name in ("local", ".hidden", "lists/a,b", "lists/web", "new\nline"):
        (place / name).touch()
    monkeypatch.chdir(place)
    assert offered(env, "job", "start", "x", "@") == ["@lists/", "@local"]
    assert offered(env, "job", "start", "x", "@.h") == ["@.hidden"]
    assert offered(env, "node", "status", "@lists/") == ["@lists/a,b", "@lists/web"]
    # In an expression a comma is an operator.
    assert offered(env, "node", "status", "web1!@lists/") == ["web1!@lists/web"]
    assert offered(env, "node", "status", "-x", f"@{place}/lo") == [f"@{place}/local"]
    assert offered(env, "node", "status", "@nosuch/") == []
    assert offered(env, "node", "status", "@\0") == []


def test_states_and_statuses_are_completed_also_behind_a_comma(env: dict[str, str]) -> None:
    asked = ("node", "status", "--from-job", "@last", "--with-status")
    assert offered(env, *asked, "t") == ["timed_out"]
    assert offered(env, *asked, "failed,n") == ["failed,nacked", "failed,new"]
    assert offered(env, *asked, "nacked,n") == ["nacked,new"]
    assert offered(env, "job", "list", "--status", "running,f") == ["running,failed"]
    assert offered(env, "job", "output", "@last", "--with-status", "failed,c") == ["failed,crashed"]


def test_keys_are_those_of_who_is_named_before(env: dict[str, str]) -> None:
    remember(env, Known(users=["ann"], keys={"user ann": ["default", "new"], "client ann": ["c"]}))
    assert offered(env, "user", "key", "delete", "") == ["ann"]
    assert offered(env, "user", "key", "delete", "ann", "") == ["default", "new"]
    assert offered(env, "client", "key", "delete", "ann", "") == ["c"]
    assert offered(env, "user", "key", "add", "ann", "--key-name", "") == []


def test_of_many_names_the_shell_still_finds_what_all_begin_with(env: dict[str, str]) -> None:
    remember(env, Known(nodes=[f"n{number}" for number in range(20_000)]))
    found = offered(env, "node", "show", "n")
    assert len(found) <= MOST
    assert {name[:2] for name in found} >= {"n0", "n9"}
    assert offered(env, "node", "show", "n1999") == ["n1999", *(f"n1999{i}" for i in range(10))]


def test_jobs_are_the_newest_first_with_their_commands(env: dict[str, str]) -> None:
    jobs = [KnownJob("b" * 32, "deploy, now"), KnownJob("a" * 32, "up\ntime")]
    remember(env, Known(jobs=jobs))
    last, first, second = offered(env, "job", "status", "")
    assert last.startswith("@last\t")
    assert first.startswith(f"{'b' * 32}\tdeploy, now, ")
    assert second.startswith(f"{'a' * 32}\tup\\ntime, ")
    assert len(offered(env, "node", "status", "--from-job", "a")) == 1


def test_what_could_move_the_cursor_is_not_offered(env: dict[str, str]) -> None:
    names = ["ok", "new\nline", "tab\there", "\x1b[2J", "\u202eltr"]
    remember(env, Known(entries=[(name, "") for name in names], nodes=names, groups=names))
    for words in (("job", "start", ""), ("node", "show", ""), ("group", "show", "")):
        assert offered(env, *words) == ["ok"]


def test_what_is_being_created_has_a_name_of_its_own(env: dict[str, str]) -> None:
    remember(env, Known(users=["ann"], tokens=[KnownToken("7Qm3", "web01, 1 left")]))
    assert offered(env, "user", "show", "") == ["ann"]
    assert offered(env, "user", "create", "") == []
    assert offered(env, "node", "token", "delete", "") == ["7Qm3\tweb01, 1 left"]


def test_a_node_comes_before_an_entry(env: dict[str, str]) -> None:
    remember(env, Known(nodes=["web01"], entries=[("uptime", "how long")]))
    assert offered(env, "whitelist", "show", "") == ["web01"]
    assert offered(env, "whitelist", "show", "web01", "") == ["uptime\thow long"]
    assert offered(env, "whitelist", "show", "web01", "uptime", "") == []


def test_without_a_profile_nothing_is_offered(tmp_path: Path) -> None:
    assert offered({"HOME": str(tmp_path)}, "node", "show", "") == []
    assert list(tmp_path.iterdir()) == []


def test_a_script_of_version_0_1_gets_no_more_than_it_can_insert(env: dict[str, str]) -> None:
    remember(env, Known(entries=[("up time", ""), ("uptime", ""), ("u$(reboot)", "")]))
    words = {"COMP_WORDS": "pushcli job start u", "COMP_CWORD": "3"}
    # Click looks there.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in words.items():
            patch.setitem(os.environ, name, value)
        assert answer(root, "bash_complete", [], env) == "plain,uptime\n"


HEAVY = {
    "ClusterShell", "asyncio", "cryptography", "difflib", "email", "http.client", "json", "logging",
    "random", "requests", "rich", "ssl", "subprocess", "tempfile", "pushcli.client.api",
    "pushcli.commands.job.retry", "pushcli.commands.node.group", "pushcli.jobs.starting",
    "pushcli.nodes.selection", "pushcli.nodes.targets",
}  # fmt: skip
FOR_NAMES = {"hashlib", "msgspec", "pushcli.client.credentials", "pushcli.completion.known"}
"""What only those wait for who complete a name that the server knows."""
ASK = """
import sys
from pushcli.__main__ import main
main()
print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "offered", "heavy"),
    [
        (("job", "start", "x", "w"), "web01", HEAVY),
        (("job", "status", "@"), "@last\tthe last one that you started", HEAVY),
        (("job", "unf"), "unfreeze\tLet jobs start again.", HEAVY | FOR_NAMES),
        (("job", "start", "--nowa"), "--nowait\tStart the job and return at once.",
         HEAVY | FOR_NAMES),
    ],
)  # fmt: skip
def test_the_tab_key_waits_for_nothing_that_it_does_not_need(
    env: dict[str, str], words: tuple[str, ...], offered: str, heavy: set[str]
) -> None:
    remember(env, Known(nodes=["web01"]))
    done = subprocess.run(
        [sys.executable, "-c", ASK, *words], text=True, capture_output=True,
        env={**env, "_PUSHCLI_COMPLETE": "fish_words"}, check=True, timeout=patient(10),
    )  # fmt: skip
    assert done.stdout == f"plain,{offered}\n"
    assert not heavy & set(done.stderr.split())


@pytest.mark.parametrize("words", [(), ("job",), ("job", "start"), ("node", "status")])
def test_help_waits_for_nothing_that_runs_a_command(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK, *words, "--help"], text=True, capture_output=True,
        check=True, timeout=patient(10),
    )  # fmt: skip
    assert done.stdout.startswith(" ".join(("Usage: pushcli", *words, "")))
    assert not (HEAVY - {"pushcli.commands.node.group"}) & set(done.stderr.split())
