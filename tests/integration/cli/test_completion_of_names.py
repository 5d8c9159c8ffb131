"""The Tab key in real shells, with a real server that knows the names."""

import os
import shlex
import stat
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from pushcli.completion import known
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.shells import BEGINNING, SHELLS, shell_with_completion
from tests.support.waiting import patient, until

pytestmark = pytest.mark.timeout(60)
"""The first test starts the fleet."""

HOSTILE = "evil; touch pwned `touch pwned` $(touch pwned) '\"*~ !! & \\"
WHITELIST = {
    "uptime": {"command_line": "true", "description": "how long, and how busy"},
    HOSTILE: "true",
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server with three nodes; the default profile leads to it, and its names are known."""
    with Sandbox(
        tmp_path_factory.mktemp("fleet"), ["alpha1", "bravo:1", "bravo:2"], whitelist=WHITELIST
    ) as fleet:
        credentials = fleet.credentials.read_text()
        fleet.credentials.write_text(credentials + credentials.replace("[sandbox]", "[default]"))
        assert fleet.cli("job", "start", "uptime", "alpha1").returncode == 0
        deadline = time.monotonic() + patient(10)
        # The whitelist is known when the agents have told of it.
        while "uptime" not in offered(fleet, "job", "start", "") and time.monotonic() < deadline:
            for file in cache(fleet).glob("*"):
                file.unlink()
        yield fleet


def environment(fleet: Sandbox) -> dict[str, str]:
    """The fleet's, with the same cache as the shells have."""
    return {**fleet.environment, "XDG_CACHE_HOME": str(home(fleet) / ".cache")}


def offered(fleet: Sandbox, *words: str) -> list[str]:
    """What the program says to fish."""
    done = subprocess.run(
        fleet.command(*words), env={**environment(fleet), "_PUSHCLI_COMPLETE": "fish_words"},
        capture_output=True, text=True, check=True, timeout=patient(15),
    )  # fmt: skip
    assert done.stderr == ""
    return [line.partition(",")[2].partition("\t")[0] for line in done.stdout.splitlines()]


def home(fleet: Sandbox) -> Path:
    return fleet.directory / "home"


def cache(fleet: Sandbox) -> Path:
    return home(fleet) / ".cache" / "pushcli"


def typed(child: "pexpect.spawn[str]", directory: Path, line: str) -> list[str]:
    """The words that the shell makes of a line; `\\t` in it is the Tab key."""
    child.send(line)
    # The program that the line runs writes down its words.
    child.sendline(f"{BEGINNING}printf '%s\\n' >words ")
    child.sendline("mv words words.done; echo fini''shed")
    child.expect("finished")
    return (directory / "words.done").read_text().splitlines()


LINES = {
    "job start upt\tal\t -x bravo:1,alp\t": "job start uptime alpha1 -x bravo:1,alpha1",
    "node status 'bravo:1!al\t": "node status bravo:1!alpha1",
    "node show bravo:\t1": "node show bravo:1",
    "node status 'bravo:[\t": "node status bravo:[1-2]",
    "group add pushy_job_r\t --user oper\t --client sandb\t": (
        "group add pushy_job_readers --user operator --client sandbox-validator"
    ),
    "job list --profile=def\t": "job list --profile=default",
    "node status @fil\t": "node status @file.txt",
    "node status a,@su\todd\t -x @sub/pl\t": "node status 'a,@sub/odd $(x)' -x @sub/plain",
    "node status --from-job @last --with-status failed,tim\t": (
        "node status --from-job @last --with-status failed,timed_out"
    ),
    "user key delete operator def\t": "user key delete operator default",
    "client key delete alpha1 def\t": "client key delete alpha1 default",
}
"""What is typed, and the words that come of it. `:` and `=` end words for bash's completion."""


def keys_are_known(fleet: Sandbox, kind: str, name: str) -> bool:
    return offered(fleet, kind, "key", "delete", name, "") == ["default"]


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_what_there_is(shell: str, fleet: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("file.txt", "sub/odd $(x)", "sub/plain"):
        (tmp_path / name).touch()
    for whose in (("user", "operator"), ("client", "alpha1")):
        until(partial(keys_are_known, fleet, *whose), "its keys are known")
    [_, job] = offered(fleet, "job", "status", "")
    [token] = offered(fleet, "node", "token", "delete", "")
    ids = {
        f"job status {job[:4]}\t": f"job status {job}",
        "job status @la\t": "job status @last",
        f"node token delete {token[:2]}\t": f"node token delete {token}",
    }
    with shell_with_completion(shell, home(fleet), tmp_path) as child:
        found = {line: typed(child, tmp_path, f"pushcli {line}") for line in LINES | ids}
    assert found == {
        line: ["pushcli", *shlex.split(words)] for line, words in (LINES | ids).items()
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_a_name_cannot_run_anything(shell: str, fleet: Sandbox, tmp_path: Path) -> None:
    with shell_with_completion(shell, home(fleet), tmp_path) as child:
        for quote in ("", "'"):
            words = typed(child, tmp_path, f"pushcli job start {quote}evil\t")
            assert words == ["pushcli", "job", "start", HOSTILE]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_an_unreachable_server_leaves_the_line_alone(shell: str, tmp_path: Path) -> None:
    credentials = tmp_path / ".pushcli" / "credentials"
    credentials.parent.mkdir()
    credentials.write_text(
        '[default]\nclient_name = "ann"\nclient_key = "missing.pem"\n'
        'chef_server_url = "http://127.0.0.1:1/organizations/acme"\n'
    )
    with shell_with_completion(shell, tmp_path) as child:
        child.send("pushcli node show al\t")
        child.sendline(f"{BEGINNING}echo se''en: ")
        child.expect("seen: pushcli node show al\\s")
        assert "rror" not in child.before


def test_a_job_is_told_by_its_command_and_its_age(fleet: Sandbox) -> None:
    done = subprocess.run(
        fleet.command("job", "abort", ""), text=True, stdout=subprocess.PIPE, check=True,
        env={**environment(fleet), "_PUSHCLI_COMPLETE": "zsh_words"},
    )  # fmt: skip
    kind, job_id, note = done.stdout.splitlines()[3:]
    assert (kind, len(job_id)) == ("plain", 32)
    assert note.startswith("uptime, ")
    assert note.endswith(" ago")


def test_commands_are_those_of_the_nodes_behind_the_cursor(fleet: Sandbox, tmp_path: Path) -> None:
    (path,) = cache(fleet).glob("*.json")
    there = known.read(path)
    assert there is not None
    node = there.nodes.index("bravo:1")
    place = [name for name, _ in there.entries].index("uptime")
    own = tmp_path / "pushcli" / path.name
    # It took the server so long that it is not asked again meanwhile.
    some = known.Known(
        nodes=there.nodes, entries=there.entries, took=100.0,
        whitelists=[known.Whitelisted([node], [place])],
    )  # fmt: skip
    known.write(own, some)
    assert known.claim(own, some)
    env = {**environment(fleet), "XDG_CACHE_HOME": str(tmp_path),
           "_PUSHCLI_COMPLETE": "bash_line", "_PUSHCLI_LINE": "pushcli job start "}  # fmt: skip
    # A node whose whitelist is not known has none of its own.
    for after, count in {" 'bravo:*' -q 1": 1, " alpha1": 0, "": 2}.items():
        done = subprocess.run(
            fleet.command(), env={**env, "_PUSHCLI_AFTER": after}, text=True,
            stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        assert done.stdout.count("plain,") == count, after


def test_only_its_owner_can_read_what_is_known(fleet: Sandbox) -> None:
    (path,) = cache(fleet).glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_module_beside_the_operator_is_not_run(fleet: Sandbox, tmp_path: Path) -> None:
    for name in ("msgspec", "pushcli"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for file in cache(fleet).glob("*"):
        file.unlink()
    command = [str(Path(fleet.command()[0]).parent / "pushcli"), "user", "show", ""]
    env = {**os.environ, **environment(fleet), "_PUSHCLI_COMPLETE": "fish_words"}
    deadline = time.monotonic() + patient(10)
    while not list(cache(fleet).glob("*.json")) and time.monotonic() < deadline:
        subprocess.run(command, env=env, cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    assert list(cache(fleet).glob("*.json"))
    assert not (tmp_path / "ran").exists()
