"""The server's log: lines for people or JSON, with whom they are about, to any of its places."""

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.errors import ConfigError
from pushcli_server import logs
from pushcli_server.logs import Journal, ServerLog, Syslog
from pushcli_server.settings import Settings

HOSTILE = "x\n2026-11-26T00:00:00Z ERROR forged\r\x1b[2J\u202e\ud800\x9b"


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before afterwards."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def started(directory: Path, **settings: object) -> ServerLog:
    return logs.start(Settings(**{"log_file": "log", **settings}), directory)  # type: ignore[arg-type]


def lines(directory: Path, log: ServerLog) -> list[str]:
    log.stop()
    return (directory / "log").read_text("utf-8").splitlines()


def test_a_line_for_people_says_whom_it_is_about(root: logging.Logger, tmp_path: Path) -> None:
    log = started(tmp_path)
    logging.getLogger("pushcli_server.x").warning(
        "a result of %s waits", "n1", extra={"node": "n1", "job": "f" * 32, "other": "no"}
    )
    [line] = lines(tmp_path, log)
    moment, rest = line.split(" ", 1)
    assert moment.endswith("Z")
    assert rest == f"WARNING pushcli_server.x: a result of n1 waits job={'f' * 32} node=n1"


@pytest.mark.parametrize("kind", ["console", "json"])
def test_nothing_that_comes_from_outside_makes_a_second_line_or_a_colour(
    root: logging.Logger, tmp_path: Path, kind: str
) -> None:
    log = started(tmp_path, log_format=kind)
    logger = logging.getLogger("pushcli_server.x")
    logger.warning("dropped: %s", HOSTILE, extra={"node": HOSTILE})
    logger.error("failed", exc_info=ValueError(HOSTILE))
    logger.warning(HOSTILE)
    found = lines(tmp_path, log)
    assert len(found) == 3
    assert all(line.isprintable() for line in found)


def fail() -> None:
    raise RecursionError("deep") from OSError("first")


def test_json_has_fields(root: logging.Logger, tmp_path: Path) -> None:
    log = started(tmp_path, log_format="json")
    try:
        fail()
    except RecursionError:
        logging.getLogger("pushcli_server.x").exception("%s failed", "it", extra={"node": "n1"})
    [line] = lines(tmp_path, log)
    record = json.loads(line)
    assert (record["event"], record["level"], record["logger"], record["node"]) == (
        "it failed", "error", "pushcli_server.x", "n1",
    )  # fmt: skip
    assert record["exception"].startswith("RecursionError: deep; Traceback: test_logs.py:")
    assert record["exception"].endswith("| from OSError: first")
    assert record["timestamp"].endswith("Z")


def test_only_what_is_grave_enough_is_logged(root: logging.Logger, tmp_path: Path) -> None:
    log = started(tmp_path, log_level="error")
    logging.getLogger("x").warning("no")
    logging.getLogger("x").error("yes")
    [line] = lines(tmp_path, log)
    assert line.endswith("ERROR x: yes")


def test_a_place_that_cannot_be_written_is_told_at_the_start(
    root: logging.Logger, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="cannot write the log"):
        started(tmp_path, log_file="missing/log")
    with pytest.raises(ConfigError, match="cannot write the log"):
        started(tmp_path, log_file=".")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[socket.socket]:
    """The system's end of a socket, which keeps what comes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "socket"))
        end.settimeout(5)
        yield end


def test_syslog_gets_the_priority_and_who_it_is(peer: socket.socket) -> None:
    place = Syslog(peer.getsockname())
    place.write(logging.WARNING, "a line", {})
    data = peer.recv(4096)
    assert data.startswith(b"<12>pushcli-server[")
    place.close()
    assert data.rstrip(b"\0").endswith(b"]: a line")


def test_the_journal_gets_jobs_and_nodes_as_fields(peer: socket.socket) -> None:
    place = Journal(peer.getsockname())
    place.write(logging.ERROR, "a line", {"node": "n1\nMESSAGE=forged"})
    assert peer.recv(4096).decode().splitlines() == [
        "MESSAGE=a line", "PRIORITY=3", "SYSLOG_IDENTIFIER=pushcli-server",
        "PUSHCLI_NODE=n1 MESSAGE=forged",
    ]  # fmt: skip
    place.close()


def test_a_journal_that_was_started_anew_is_found_again(peer: socket.socket) -> None:
    path = peer.getsockname()
    place = Journal(path)
    peer.close()
    Path(path).unlink()
    with pytest.raises(FileNotFoundError):
        place.write(logging.ERROR, "lost", {})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(path)
        again.settimeout(5)
        place.write(logging.ERROR, "found", {})
        assert again.recv(4096).startswith(b"MESSAGE=found\n")
    place.close()
