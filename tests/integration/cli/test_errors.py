"""Every error: one line with cause and remedy, the right exit status, no traceback."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pushcli.cli import root
from pushcli.exit_status import ExitStatus
from tests.integration.cli.program import PUSHCLI, Home, Result, assert_one_line
from tests.integration.cli.responder import JOB_ID, Answer, Responder, job, json_answer
from tests.support.waiting import patient

HTML = Answer(200, b"<html><body>Welcome to nginx!</body></html>", "text/html")


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (json_answer({"error": ["Invalid signature for user or client 'admin'"]}, 401),
         ExitStatus.NOT_ALLOWED, "admin"),
        (json_answer({"error": ["User or client 'admin' does not have access"]}, 403),
         ExitStatus.NOT_ALLOWED, "admin"),
        (json_answer({"error": ["organization 'acme' does not exist."]}, 404),
         ExitStatus.NOT_FOUND, "acme"),
        (json_answer({"error": "JSON must be no more than 1000000 bytes."}, 413),
         ExitStatus.USAGE, "1000000"),
        (json_answer({"error": ["boom"]}, 500), ExitStatus.ERROR, "500"),
        (json_answer({"error": ["no store"]}, 503), ExitStatus.ERROR, "503"),
        (Answer(502, b"<html>Bad Gateway</html>", "text/html"), ExitStatus.ERROR, "502"),
        (HTML, ExitStatus.ERROR, ""),
        (Answer(200, b"{"), ExitStatus.ERROR, ""),
        (Answer(200, b"[" * 60_000), ExitStatus.ERROR, ""),
        (Answer(200, b"\xff"), ExitStatus.ERROR, ""),
        (json_answer({"jobs": 1}), ExitStatus.ERROR, "unexpected answer"),
        (json_answer([{"id": 1}]), ExitStatus.ERROR, "unexpected answer"),
        (Answer(302, headers={"Location": "http://127.0.0.1:1/"}), ExitStatus.ERROR, "302"),
    ],
)  # fmt: skip
def test_what_a_server_may_answer(
    home: Home, responder: Responder, answer: Answer, status: ExitStatus, words: str
) -> None:
    responder.say("GET", "jobs", answer)
    assert_one_line(home.run("job", "list"), status, words)


def test_a_servers_text_cannot_steer_the_terminal(home: Home, responder: Responder) -> None:
    responder.say("GET", "jobs", json_answer({"error": ["\x1b[2J\nsecond line"]}, 403))
    result = home.run("job", "list")
    assert_one_line(result, ExitStatus.NOT_ALLOWED, r"\x1b[2J")
    assert "\x1b" not in result.stderr


def test_nobody_listens_there(home: Home, key_file: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/organizations/acme"
        result = home.run("job", "list", "--server-url", url)
    assert_one_line(result, ExitStatus.UNREACHABLE, "127.0.0.1")


def test_the_server_hangs_up(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/organizations/acme"
        process = home.start("job", "list", "--server-url", url)
        listening.settimeout(0.05)
        while process.poll() is None:
            with contextlib.suppress(TimeoutError):
                connection, _ = listening.accept()
                connection.close()
        stdout, stderr = process.communicate()
    result = Result(process.returncode, stdout, stderr)
    assert_one_line(result, ExitStatus.UNREACHABLE, "127.0.0.1")


def test_a_name_that_does_not_resolve(home: Home) -> None:
    url = "https://nosuch.invalid/organizations/acme"
    result = home.run("job", "list", "--server-url", url)
    assert_one_line(result, ExitStatus.UNREACHABLE, "nosuch.invalid")


def test_plain_http_beyond_loopback_is_refused(home: Home) -> None:
    result = home.run("job", "list", "--server-url", "http://192.0.2.1/organizations/acme")
    assert_one_line(result, ExitStatus.CONFIG, "192.0.2.1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "credentials"),
        ("[default]\nclient_name = \n[other]\n", "line 2"),
        ('[other]\nclient_name = "a"\n', "default"),
        ('[default]\nclient_name = "a"\nclient_key = "/nosuch.pem"\n'
         'chef_server_url = "https://127.0.0.1/organizations/acme"\n', "/nosuch.pem"),
    ],
)  # fmt: skip
def test_credentials_that_do_not_do(home: Home, content: str | None, words: str) -> None:
    file = home.path / ".pushcli" / "credentials"
    file.unlink()
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    assert_one_line(home.run("job", "list"), ExitStatus.CONFIG, words)


def test_a_key_that_others_can_read_is_refused(home: Home, key_file: Path) -> None:
    copy = home.path / "copy.pem"
    copy.write_bytes(key_file.read_bytes())
    copy.chmod(0o644)
    assert_one_line(home.run("job", "list", "-k", str(copy)), ExitStatus.CONFIG, str(copy))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("jobs", "list"), "'job'"),
        (("job", "statsu"), "'status'"),
        (("job", "list", "--formta", "json"), "--format"),
        (("job", "start", "--timout", "3"), "one of: '--timeout', '--limit'"),
        (("job", "start", "uptime"), "-s QUERY"),
        (("job", "start", "uptime", "web/1"), "web/1"),
        (("job", "start", "uptime", "a", "-q", "many"), "80%"),
        (("job", "start", "uptime", "a", "-q", "101%"), "101%"),
        (("job", "start", "uptime", "a", "--timeout", "soon"), "soon"),
        (
            ("job", "start", "uptime", "a", "--timeout", "0"),
            "must be more than 0 and at most 1,000,000,000 seconds",
        ),
        (("job", "start", "", "a"), "the command is empty"),
        (("job", "start", "uptime", "a", "--in-dir", "tmp"), "'tmp' is not absolute"),
        (("job", "start", "uptime", "a", "--timeout", "nan"), "nan"),
        (("job", "start", "uptime", "a", "--poll-interval", "0"), "0"),
        (("job", "start", "uptime", "a", "--with-env", "A=b"), "--with-env"),
        (("job", "start", "uptime", "a", "--file", "/nosuch"), "/nosuch"),
        (("job", "status", "42"), "job list"),
        (("job", "output", JOB_ID, "a", "--raw", "-F", "json"), "--raw"),
        (("job", "list", "-F", "xml"), "json"),
        (("completion", "install", "tcsh"), "zsh"),
        (("group", "add", "admins", "ann"), "extra argument (ann): see `pushcli group add --help`"),
    ],
)
def test_a_command_line_that_makes_no_sense(
    home: Home, arguments: tuple[str, ...], words: str
) -> None:
    assert_one_line(home.run(*arguments), ExitStatus.USAGE, words)


def test_without_a_command_the_help_is_shown(home: Home) -> None:
    result = home.run()
    assert result.status == ExitStatus.USAGE
    assert "Commands:" in result.stderr
    assert result.stdout == ""


def test_a_reader_that_leaves_is_no_error(home: Home, responder: Responder) -> None:
    responder.say("GET", "jobs", json_answer([job("complete")] * 5000))
    with subprocess.Popen(
        [*PUSHCLI, "job", "list", "--max", "5000"],
        env=home.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(patient(10)) == 141


def _written_to(path: str, home: Home, *arguments: str) -> Result:
    with Path(path).open("wb") as stream:
        done = subprocess.run(
            [*PUSHCLI, *arguments], env=home.env, stdout=stream, stderr=subprocess.PIPE, check=False
        )
    return Result(done.returncode, "", done.stderr.decode())


def _commands(group: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """Every command that there is."""
    if not isinstance(group, click.Group):
        yield words
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from _commands(command, *words, name)


@pytest.mark.parametrize(
    "arguments",
    [("job", "list"), ("job", "list", "-F", "json"), ("job", "output", JOB_ID, "a"),
     ("job", "output", JOB_ID, "a", "--raw"), ("--help",), ("--version",), ("completion", "bash")],
)  # fmt: skip
def test_a_full_disk_is_said(home: Home, responder: Responder, arguments: tuple[str, ...]) -> None:
    # More than any buffer holds: the error may come before the last write or with it.
    for count in (1, 5000):
        responder.say("GET", "jobs", json_answer([job("complete")] * count))
        whole = job("complete", nodes={"succeeded": ["a"]}, capture_output=True)
        responder.say("GET", f"jobs/{JOB_ID}", json_answer(whole))
        output = Answer(200, b"x" * count * 100, "application/octet-stream")
        responder.say("GET", f"jobs/{JOB_ID}/output/a/stdout", output)
        result = _written_to("/dev/full", home, *arguments)
        assert_one_line(result, ExitStatus.OUTPUT_LOST, "standard output", "No space left")


def test_a_full_disk_is_said_by_every_command() -> None:
    """In one process: what all of them share is where they write."""
    program = (
        "import os, sys; from pushcli.__main__ import main\n"
        "error = os.dup(2)\n"
        "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
        "for line in sys.stdin:\n"
        "    status = main([*line.split(), '--help'])\n"
        "    assert status == 14, (line, status)\n"
        "    sys.stdout = sys.__stdout__\n"
        "    os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
        "    os.dup2(error, 2)\n"
    )
    commands = list(_commands(root))
    assert len(commands) > 40
    done = subprocess.run(
        [sys.executable, "-c", program], input="\n".join(map(" ".join, commands)), text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, timeout=patient(15),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot write to standard output") == len(commands)


def test_a_terminal_that_is_gone_is_said(home: Home, responder: Responder) -> None:
    responder.say("GET", "jobs", json_answer([job("complete")]))
    master, slave = os.openpty()
    os.close(master)
    done = subprocess.run(
        [*PUSHCLI, "job", "list"], env=home.env, stdout=slave, stderr=subprocess.PIPE, check=False
    )
    os.close(slave)
    result = Result(done.returncode, "", done.stderr.decode())
    assert_one_line(result, ExitStatus.OUTPUT_LOST, "standard output", "Input/output error")


def test_a_job_that_was_started_is_named_though_nothing_can_be_written(
    home: Home, responder: Responder
) -> None:
    responder.say("POST", "jobs", json_answer({"uri": f"http://x/{JOB_ID}"}, 201))
    result = _written_to("/dev/full", home, "job", "start", "true", "a")
    assert result.status == ExitStatus.OUTPUT_LOST
    unwatched, error = result.stderr.splitlines()
    assert unwatched == f"UNWATCHED: pushcli job status {JOB_ID}"
    assert "cannot write to standard output" in error


def test_a_full_standard_error_costs_no_answer(home: Home, responder: Responder) -> None:
    responder.say("GET", "jobs", json_answer([job("complete")]))
    with Path("/dev/full").open("wb") as full:
        for arguments, status in ((["job", "list"], 0), (["job", "nonsense"], ExitStatus.USAGE)):
            done = subprocess.run(
                [*PUSHCLI, *arguments], env=home.env, stdout=subprocess.PIPE, stderr=full,
                check=False,
            )  # fmt: skip
            assert done.returncode == status
            assert (JOB_ID.encode() in done.stdout) is (status == 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["job", "start", b"caf\xe9", "a"], "COMMAND"),
        (["job", "start", "true", b"\xff"], "NODE"),
        (["job", "start", "true", "a", "--as-user", b"\xff"], "--as-user"),
        (["job", "start", "true", "a", "--with-env", b'{"A": "\xff"}'], "--with-env"),
        (["job", "start", "true", "-s", b"name:\xff"], "--search"),
        (["--profile", b"\xff", "job", "list"], "--profile"),
        (["job", "list", "-u", b"\xff"], "--user"),
        (["whitelist", "add", b"\xff", "true", "a"], "NAME"),
        (["user", "create", b"\xff"], "UTF-8"),
        ([b"\xff"], "\\udcff"),
        (["job", b"--\xff"], "\\udcff"),
    ],
)
def test_an_argument_that_is_no_text_is_a_usage_error(
    home: Home, arguments: list[str | bytes], words: str
) -> None:
    done = subprocess.run([*PUSHCLI, *arguments], env=home.env, capture_output=True, check=False)
    result = Result(done.returncode, "", done.stderr.decode())
    assert_one_line(result, ExitStatus.USAGE, words)


def test_a_file_may_have_a_name_that_is_no_text(home: Home, responder: Responder) -> None:
    responder.say("POST", "jobs", json_answer({"uri": f"http://x/{JOB_ID}"}, 201))
    name = os.fsencode(home.path) + b"/caf\xe9"
    Path(os.fsdecode(name)).write_text("content")
    done = subprocess.run(
        [*PUSHCLI, "job", "start", "-b", "true", "a", "--file", name], env=home.env,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "seconds"), [("2m", 120), ("90", 90), ("1h30m", 5400), ("0.5", 0.5), ("90s", 90)]
)
def test_a_timeout_is_what_the_operator_means(
    home: Home, responder: Responder, text: str, seconds: float
) -> None:
    # The original takes no fraction, so it has to be ours.
    responder.say("GET", "node_states", json_answer([{"node_name": "a", "availability": "x"}]))
    responder.say("POST", "jobs", json_answer({"uri": f"http://x/{JOB_ID}"}, 201))
    assert home.run("job", "start", "-b", "--timeout", text, "true", "a").status == 0
    [asked] = [body for method, _, body in responder.requests if method == "POST"]
    assert json.loads(asked)["run_timeout"] == seconds


@pytest.mark.parametrize("text", ["2y", "two minutes", "-2m", "nan", ""])
def test_a_timeout_that_means_nothing_says_how_to_write_it(home: Home, text: str) -> None:
    result = home.run("job", "start", f"--timeout={text}", "true", "a")
    assert_one_line(result, ExitStatus.USAGE, "--timeout", "90s, 2m")


def test_a_closed_standard_output_is_no_fault(home: Home, responder: Responder) -> None:
    responder.say("GET", "jobs", json_answer([job("complete")]))
    shell = f"exec {' '.join(PUSHCLI)} job list >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", shell], env=home.env, stderr=subprocess.PIPE, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


FAULT = """
import sys
from pushcli import cli
from pushcli.__main__ import main
from pushcli.terminal.command_groups import Lazy
cli.COMMANDS["job"] = Lazy("pushcli.nosuch:job", "")
sys.exit(main(["job"]))
"""


def test_a_fault_of_ours_is_one_line_and_says_how_to_see_more(home: Home) -> None:
    def run(**env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", FAULT], env={**home.env, **env}, text=True,
            capture_output=True, check=False,
        )  # fmt: skip

    done = run()
    assert_one_line(
        Result(done.returncode, done.stdout, done.stderr), ExitStatus.ERROR,
        "ModuleNotFoundError", "PUSHCLI_DEBUG=1",
    )  # fmt: skip
    assert "Traceback" in run(PUSHCLI_DEBUG="1").stderr


@pytest.mark.parametrize("command", ["server prune --dry-run", "agent editors list"])
def test_whoever_may_not_read_the_directory_is_told_who_may(home: Home, command: str) -> None:
    closed = home.path / "closed"
    closed.mkdir(mode=0)
    # Root reads everything only because it may.
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    try:
        for place in (closed, closed / "below"):
            done = subprocess.run(
                [*(as_others if os.geteuid() == 0 else ()), *PUSHCLI, *command.split(),
                 "--dir", str(place)],
                env=home.env, capture_output=True, text=True, check=False, timeout=patient(15),
            )  # fmt: skip
            assert done.returncode == ExitStatus.CONFIG, done
            assert done.stderr == (
                f"pushcli: error: cannot read {place}: Permission denied: run it as root, or as "
                "its owner\n"
            )
    finally:
        closed.chmod(0o700)
