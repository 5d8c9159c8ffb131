"""The database goes away just after a write was done: nobody is told to do it again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from pushcli.sandbox.sandbox import Sandbox
from tests.support.identities import operator, superuser
from tests.support.postgresql import throw_away_database
from tests.support.tcp_way import TcpWay, tcp_way
from tests.support.waiting import start, until

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
MakeFleet = Callable[..., Sandbox]


@contextmanager
def on_a_way(make_fleet: MakeFleet) -> Iterator[tuple[Sandbox, TcpWay, str]]:
    """A fleet whose server reaches its database on a way, and that database's own URL."""
    with throw_away_database() as url:
        there = make_url(url)
        with tcp_way(there.host or "", there.port or 5432) as way:
            behind = there.set(host="127.0.0.1", port=way.port)
            fleet = make_fleet("n1", database_url=behind.render_as_string(hide_password=False))
            yield fleet, way, url


def test_an_organization_that_is_gone_is_not_to_be_deleted_again(make_fleet: MakeFleet) -> None:
    with on_a_way(make_fleet) as (fleet, way, url):
        root = superuser(fleet)
        root.post("/organizations", {"name": "other"})
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("INSERT INTO blobs (digest, size, data) VALUES ('unused', 1, 'x')")
            way.break_after = lambda data: b"DELETE FROM blobs" in data
            gone = root("DELETE", "/organizations/other")
            assert (gone.status, gone.json["name"]) == (200, "other")
            until(way.broken.is_set, "the database went away")
            count = "SELECT count(*) FROM blobs"
            until(lambda: connection.execute(count).fetchone() == (0,), "what is left over goes")
        assert root("DELETE", "/organizations/other").status == 404


def test_a_job_that_was_aborted_is_not_to_be_aborted_again(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    with on_a_way(make_fleet) as (fleet, way, _):
        job_id = start(fleet, "slow-mark", "n1", env={"MARKS": str(tmp_path / "marks")})
        until(lambda: fleet.api.job(job_id)["status"] == "running", "it runs")
        way.break_after = lambda data: b"INTO signatures" in data
        told = operator(fleet)("POST", f"pushy/jobs/{job_id}/abort")
        until(way.broken.is_set, "the database went away")
        assert told.status == 503
        assert "retry-after" not in told.headers
        assert "look before you repeat it" in told.json["error"][0]
        until(lambda: fleet.api.job(job_id)["status"] == "aborted", "it was")


def test_an_abort_that_changed_nothing_may_be_sent_again(make_fleet: MakeFleet) -> None:
    with on_a_way(make_fleet) as (fleet, way, _):
        job_id = start(fleet, "true", "n1")
        until(lambda: fleet.api.job(job_id)["status"] == "complete", "it is over")
        way.break_after = lambda data: b"INTO signatures" in data
        told = operator(fleet)("POST", f"pushy/jobs/{job_id}/abort")
        until(way.broken.is_set, "the database went away")
        assert told.status == 503
        assert "look before you repeat it" not in told.json["error"][0]
        until(lambda: operator(fleet).get(f"pushy/jobs/{job_id}")["status"] == "complete", "it is")
