"""Databases to test with are dropped, and nobody drops those of others."""

import os
import subprocess
import sys

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.support import postgresql
from tests.support.waiting import until

MAKER = """
from tests.support.postgresql import new_database
with new_database() as url:
    print(url, flush=True)
    input()
"""


@pytest.fixture
def there_is_one() -> None:
    try:
        postgresql.require()
    except postgresql.NoPostgresqlError as error:
        pytest.skip(str(error))


def exists(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.usefixtures("there_is_one")
def test_it_is_dropped_also_after_an_error() -> None:
    urls = []

    def fail() -> None:
        with postgresql.new_database() as url:
            urls.append(url)
            assert exists(url)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not exists(urls[0])


@pytest.mark.usefixtures("there_is_one")
def test_what_a_killed_run_left_is_dropped_and_what_a_living_one_has_is_not() -> None:
    with (
        postgresql.new_database() as ours,
        subprocess.Popen(
            [sys.executable, "-c", MAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as maker,
    ):
        assert maker.stdout is not None
        theirs = maker.stdout.readline().strip()
        postgresql.drop_left()
        assert exists(theirs)
        maker.kill()
        until(lambda: make_url(theirs).database in postgresql.drop_left(), "it is dropped")
        assert not exists(theirs)
        assert exists(ours)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"PUSHCLI_TEST_DATABASE": "postgres"},
            "no database is called 'postgres': give sqlite or postgresql",
        ),
        (
            {
                "PUSHCLI_TEST_DATABASE": "postgresql",
                "PUSHCLI_TEST_POSTGRESQL": "postgresql://ann:hunter2@127.0.0.1:1/none",
            },
            "start one, or name one with PUSHCLI_TEST_POSTGRESQL",
        ),
    ],
)
def test_without_one_no_test_seems_well(variables: dict[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/e2e/test_reboot.py"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    [line] = done.stderr.strip().splitlines()
    assert said in line
    assert "hunter2" not in line
