"""A log is one printable line per record, and no trouble of whoever writes it."""

import logging
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.logs.handler import LineHandler
from pushcli.logs.places import LogFile
from pushcli.logs.rate_bound import MOST, PERIOD


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("tests.logs")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)


def to_file(log: logging.Logger, path: Path) -> LineHandler:
    handler = LineHandler(LogFile(path))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log.addHandler(handler)
    return handler


@pytest.mark.parametrize(
    "hostile",
    ["x\nINFO forged", "\r\x1b[2J", "\x9b31m", "\u202egnp", "\u2028", "\ud800", "\x00", "\x7f"],
)
def test_what_comes_from_outside_forges_no_line_and_moves_no_cursor(
    log: logging.Logger, tmp_path: Path, hostile: str
) -> None:
    # Past pytest's own capture, which hands what it holds to another process as text.
    record = log.makeRecord(
        log.name, logging.WARNING, __file__, 1, f"dropped a{hostile}b", (), None
    )
    to_file(log, tmp_path / "log").handle(record)
    [line] = (tmp_path / "log").read_text("utf-8").splitlines()
    assert line.startswith("WARNING dropped a")
    assert line.isprintable()


def test_a_traceback_is_one_line_too(log: logging.Logger, tmp_path: Path) -> None:
    to_file(log, tmp_path / "log")
    log.error("failed", exc_info=ValueError("of\nours"))
    [line] = (tmp_path / "log").read_text("utf-8").splitlines()
    assert "ValueError" in line


def test_a_line_is_never_endless(log: logging.Logger, tmp_path: Path) -> None:
    to_file(log, tmp_path / "log")
    log.warning("x" * 1_000_000)
    assert (tmp_path / "log").stat().st_size < 4100


def test_repeats_are_counted(log: logging.Logger, tmp_path: Path) -> None:
    handler = to_file(log, tmp_path / "log")
    for number in range(MOST + 412):
        log.warning("dropped %s", number, extra={"peer": "1.2.3.4"})
    handler.tick(PERIOD * 1e9)
    lines = (tmp_path / "log").read_text("utf-8").splitlines()
    assert len(lines) == MOST + 1
    assert lines[-1] == "WARNING dropped %s: … 412 more in the last minute"


def test_a_record_that_makes_no_sense_costs_itself_only(
    log: logging.Logger, tmp_path: Path
) -> None:
    handler = to_file(log, tmp_path / "log")
    # Given to this handler only: pytest's own would complain.
    handler.handle(
        logging.makeLogRecord({"msg": "%d of %s", "args": ("x",), "levelno": logging.WARNING})
    )
    log.warning("then")
    first, second = (tmp_path / "log").read_text("utf-8").splitlines()
    assert "cannot be shown" in first
    assert second == "WARNING then"


def test_a_file_that_was_moved_away_is_made_anew_when_told(
    log: logging.Logger, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    handler = to_file(log, path)
    log.warning("first")
    path.rename(tmp_path / "log.1")
    log.warning("second")
    handler.reopen()
    log.warning("third")
    assert (tmp_path / "log.1").read_text() == "WARNING first\nWARNING second\n"
    assert path.read_text() == "WARNING third\n"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("trouble", ["directory gone", "a directory", "no right"])
def test_a_file_that_cannot_be_opened_again_loses_lines_and_says_how_many(
    log: logging.Logger, tmp_path: Path, trouble: str, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "logs"
    directory.mkdir()
    path = directory / "log"
    handler = to_file(log, path)
    log.warning("first")
    if trouble == "directory gone":
        path.unlink()
        directory.rmdir()
    elif trouble == "a directory":
        path.unlink()
        path.mkdir()
    else:
        path.unlink()
        path.symlink_to(path)
    handler.reopen()
    for _ in range(3):
        log.warning("lost")
    assert capfd.readouterr().err.count("the log cannot be written") == 1, "said once"
    if trouble == "directory gone":
        directory.mkdir()
    elif trouble == "a directory":
        path.rmdir()
    else:
        path.unlink()
    log.warning("last")
    assert path.read_text().splitlines() == [
        "ERROR 3 lines of the log could not be written", "WARNING last",
    ]  # fmt: skip


def test_a_full_disk_loses_lines_and_cuts_none_in_two(log: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "log"
    to_file(log, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log.warning("first")
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, hard))
    try:
        log.warning("a line that does not fit in there")
        log.warning("nor this")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.warning("last")
    lines = path.read_text().splitlines()
    assert lines[0] == "WARNING first"
    assert lines[-2:] == ["ERROR 2 lines of the log could not be written", "WARNING last"]


_TALKS = """
import logging, os, sys
from pushcli.logs.handler import LineHandler
from pushcli.logs.places import StandardError, occupy_standard_descriptors
occupy_standard_descriptors()
log = logging.getLogger("x")
log.addHandler(LineHandler(StandardError()))
other = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for number in range(20_000):
    log.error("line %d %s", number, "x" * 100, extra={"peer": str(number)})
os.write(other, b"done")
"""


@pytest.mark.parametrize("stderr", ["closed", "without a reader", "not read"])
def test_standard_error_may_be_anything(tmp_path: Path, stderr: str) -> None:
    reading, writing = os.pipe()
    if stderr == "without a reader":
        os.close(reading)
    program = [sys.executable, "-c", _TALKS, str(tmp_path / "mark")]
    if stderr == "closed":
        program = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *program]
    with subprocess.Popen(program, stderr=writing) as process:
        os.close(writing)
        assert process.wait() in {0, 120}, "120: Python could not close it"
    if stderr != "without a reader":
        os.close(reading)
    assert (tmp_path / "mark").read_bytes() == b"done", "and nothing else was written there"
