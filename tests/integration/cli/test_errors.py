"""Every error: one line with cause and remedy, the right exit status, no traceback."""

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

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
        (json_answer({"jobs": []}), ExitStatus.ERROR, "unexpected answer"),
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
        (("job", "start", "uptime"), "-s QUERY"),
        (("job", "start", "uptime", "web/1"), "web/1"),
        (("job", "start", "uptime", "a", "-q", "many"), "80%"),
        (("job", "start", "uptime", "a", "-q", "101%"), "101%"),
        (("job", "start", "uptime", "a", "--timeout", "soon"), "soon"),
        (("job", "start", "uptime", "a", "--timeout", "nan"), "nan"),
        (("job", "start", "uptime", "a", "--poll-interval", "0"), "0"),
        (("job", "start", "uptime", "a", "--with-env", "A=b"), "--with-env"),
        (("job", "start", "uptime", "a", "--file", "/nosuch"), "/nosuch"),
        (("job", "status", "42"), "job list"),
        (("job", "output", JOB_ID, "a", "--raw", "-F", "json"), "--raw"),
        (("job", "list", "-F", "xml"), "json"),
        (("completion", "install", "tcsh"), "zsh"),
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
        [*PUSHCLI, "job", "list"], env=home.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(patient(10)) == 141


@pytest.mark.parametrize("arguments", [("job", "list"), ("--help",)])
def test_a_full_disk_is_said(home: Home, responder: Responder, arguments: tuple[str, ...]) -> None:
    responder.say("GET", "jobs", json_answer([job("complete")]))
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*PUSHCLI, *arguments], env=home.env, stdout=full, stderr=subprocess.PIPE, check=False
        )
    result = Result(done.returncode, "", done.stderr.decode())
    assert_one_line(result, ExitStatus.ERROR, "No space left")


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
