"""`server prune` where the clock may be wrong."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from pushcli.errors import StartError
from pushcli.exit_status import ExitStatus
from pushcli_server import listener, prune, settings
from pushcli_server.retention import Retention

pytestmark = pytest.mark.timeout(60)
DAY = 86_400
ONE_LINE = "the output of 0 jobs (0 bytes at most), and 1 lines of the audit trail"


def test_a_server_that_is_started_meanwhile_finds_its_port_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would write, and the one begin anew what the other gathers."""
    directory = tmp_path / "server"
    monkeypatch.setenv("HOME", str(tmp_path))
    init = (sys.executable, "-m", "pushcli", "server", "init", "--org", "acme", "--admin", "ann")
    subprocess.run([*init, "--dir", str(directory)], check=True, capture_output=True, timeout=60)
    config = settings.load(directory)
    started = []

    async def delete(_: Retention) -> None:
        with pytest.raises(StartError, match="cannot listen"):
            listener.listen(config.listen_host, config.api_port, ("", ""))
        with pytest.raises(StartError, match="the server is running"):
            prune.require_stopped(directory)
        started.append(True)

    monkeypatch.setattr(Retention, "delete", delete)
    prune.prune(directory)
    assert started
    prune.require_stopped(directory)


def test_it_does_not_go_by_a_clock_far_ahead_of_the_records_unless_it_is_told(
    tmp_path: Path,
) -> None:
    server = tmp_path / "server"
    environment = {**os.environ, "HOME": str(tmp_path)}

    def cli(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "pushcli", "server", *arguments, "--dir", str(server)],
            capture_output=True, text=True, check=False, timeout=60, env=environment,
        )  # fmt: skip

    assert cli("init", "--org", "acme", "--admin", "ann").returncode == 0
    file = server / settings.FILE
    file.write_text('audit_retention = "30d"\n' + file.read_text())
    with closing(sqlite3.connect(server / "pushcli.db")) as database, database:
        database.execute(
            "INSERT INTO audit (at, org, actor, action, target, origin)"
            " VALUES (?, '', '', '', '', '')",
            (time.time() - 400 * DAY,),
        )
    dry = cli("prune", "--dry-run")
    assert (dry.returncode, dry.stdout) == (0, f"Would delete 0 jobs, {ONE_LINE}\n")
    assert "the records end 400 days before this machine's clock" in dry.stderr
    asked = cli("prune")
    assert asked.returncode == ExitStatus.USAGE, asked
    assert asked.stderr == "pushcli: error: no terminal to confirm on: pass -y\n"
    assert cli("prune", "-y").stdout == f"Deleted 0 jobs, {ONE_LINE}\n"
    assert cli("prune", "--dry-run").stdout.endswith("and 0 lines of the audit trail\n")
