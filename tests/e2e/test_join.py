"""`pushcli server join`: a second machine gets what servers share, from the one that works."""

import base64
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pushcli.errors import ServerError, StoreError
from pushcli.exit_status import ExitStatus
from pushcli_server import secrets, settings
from pushcli_server.join import Joining, refresh
from pushcli_server.join import join as make
from pushcli_server.sealing import seal
from pushcli_server.shared_files import PURPOSE, collect
from tests.support.captured import captured
from tests.support.fleet import Fleet
from tests.support.identities import superuser
from tests.support.json_shapes import faults, shapes_of
from tests.support.postgresql import throw_away_database
from tests.support.second_server import begins, join, joined
from tests.support.waiting import job_is, start, until

pytestmark = pytest.mark.timeout(120)
SHAPES = shapes_of((Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of the database of all."""
    with throw_away_database() as url:
        yield url


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, url: str) -> Iterator[Fleet]:
    """It runs, with TLS."""
    place = tmp_path_factory.mktemp("first")
    more = {"database_url": url, "lease": 2, "advertised_host": "127.0.0.1"}
    whitelist = {"true": "true"}
    with Fleet(place, ["n1"], whitelist=whitelist, settings=more, with_tls=True) as fleet:
        yield fleet


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Fleet]:
    """Another one, without TLS."""
    with (
        throw_away_database() as url,
        Fleet(tmp_path / "plain", [], settings={"database_url": url}) as fleet,
    ):
        yield fleet


def files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_it_shares_all_that_agents_know_the_server_by_and_no_keys_of_people(
    first: Fleet, tmp_path: Path
) -> None:
    before = len(records(first))
    with joined(first, tmp_path / "second") as second:
        theirs, ours = files(first.server_directory), files(second.server_directory)
        assert ours.keys() == {
            "server.toml", "secrets/rsa.pem", "secrets/curve.key", "secrets/session.key",
            "tls/cert.pem", "tls/key.pem",
        }  # fmt: skip
        assert all(ours[name] == theirs[name] for name in ours if name != "server.toml")
        for path in (second.server_directory, *second.server_directory.rglob("*")):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        made = settings.load(second.server_directory)
        assert made.database_url == settings.load(first.server_directory).database_url
        assert (made.api_port, made.lease) == (second.ports[0], 2)
        [record, *_] = records(first)
        assert len(records(first)) == before + 1
        assert (record["actor"], record["target"]) == ("pivotal", os.uname().nodename)

        # It stands ready; its agent's connection, and jobs, go on there.
        first.end_server()
        until(lambda: begins(second), "the second takes over")
        assert second.end_server() == 0
        first.start_server()
        first.wait_available(["n1"])
        job_is(first, start(first, "true", "n1"), "complete")


def records(server: Fleet) -> list[dict[str, object]]:
    """What the server's audit trail has of those who joined, newest first."""
    done = server.cli(
        "audit", "--of-server", "-F", "json", "-u", "pivotal", "-k", str(server.superuser_key)
    )
    assert done.returncode == ExitStatus.OK, done.stderr
    return [one for one in json.loads(done.stdout)["records"] if one["action"] == "server join"]


def test_a_captured_request_gives_nothing_and_none_can_be_opened_by_another(
    plain: Fleet,
) -> None:
    asking, root = Joining(), superuser(plain)
    once = captured(root, "POST", "/pushy/servers", asking.request("push2"))
    before = len(records(plain))
    answer = once.send()
    assert answer.status == 200
    assert "rsa.pem" not in answer.body.decode()
    # At once, and later.
    for pause in (0.0, 1.1):
        time.sleep(pause)
        again = once.send()
        assert (again.status, again.error) == (409, ["this request was already carried out"])
        assert b"sealed" not in again.body
    assert len(records(plain)) == before + 1
    opened = asking.opened(answer.json)
    assert "secrets/rsa.pem" in opened.shared.secrets
    for other, said in (
        (Joining(), answer.json),
        (asking, {}),
        (asking, {"sealed": "AAAA"}),
        (asking, [1]),
        (asking, None),
        (asking, {"sealed": 1}),
    ):
        with pytest.raises(ServerError, match="cannot be read"):
            other.opened(said)
    for wrong in (
        {"host": "push2", "public_key": "AAAA"},
        {"host": "push2", "public_key": base64.b64encode(bytes(32)).decode()},
        {"host": "a\nb", "public_key": answer.json["sealed"][:44]},
        {"public_key": answer.json["sealed"][:44]},
    ):
        assert captured(root, "POST", "/pushy/servers", wrong).send().status == 400, wrong


def test_what_was_replaced_is_brought_anew(first: Fleet, tmp_path: Path) -> None:
    with joined(first, tmp_path / "second") as second:
        own = second.server_directory
        text = (own / settings.FILE).read_text()
        done = join(first, own, more=["--refresh"])
        assert (done.returncode, done.stderr) == (ExitStatus.OK, "")
        assert done.stdout == f"Brought to {own}: nothing: all was as it is there\n"

        rotated = first.cli("server", "rotate-keys", "--dir", str(first.server_directory))
        assert rotated.returncode == ExitStatus.OK, rotated.stderr
        certificate = (first.server_directory / "tls/cert.pem").read_bytes()
        (own / "tls/cert.pem").write_bytes(b"an older one")
        done = join(first, own, more=["--refresh", "-F", "json"])
        assert done.returncode == ExitStatus.OK, done.stderr
        said = json.loads(done.stdout)
        assert not faults(said, SHAPES["server join"][0])
        assert (said["refreshed"], said["changed"]) == (True, ["secrets", "tls/cert.pem"])
        assert (own / "tls/cert.pem").read_bytes() == certificate
        assert (own / settings.FILE).read_text() == text
        theirs, ours = secrets.load(first.server_directory), secrets.load(own)
        assert ours.previous is not None
        assert theirs.previous is not None
        assert ours.previous_until == theirs.previous_until
        for mine, other in ((ours.current, theirs.current), (ours.previous, theirs.previous)):
            assert mine.public_pem == other.public_pem
            assert mine.curve_secret == other.curve_secret
            assert mine.session == other.session
        assert not [path for path in own.iterdir() if path.name.endswith((".next", ".new"))]


def test_an_answer_that_somebody_on_the_way_made_is_refused(plain: Fleet, tmp_path: Path) -> None:
    """He knows the key to seal it with, and the server's run; not how to write its database."""
    with joined(plain, tmp_path / "second") as second:
        genuine = collect(plain.server_directory, plain.api.get("/pushy/_status")["incarnation_id"])
        secrets.create(tmp_path)
        wicked = msgspec.structs.replace(
            genuine, secrets=secrets.files(tmp_path, time.time()), made_at=time.time()
        )
        asking = Joining()
        key = base64.b64decode(str(asking.request("push2")["public_key"]))
        sealed = seal(msgspec.json.encode(wicked), key, PURPOSE)
        answer = asking.opened({"sealed": base64.b64encode(sealed).decode()})
        before = files(second.server_directory)
        with pytest.raises(StoreError, match="the answer is not of the server that works with"):
            refresh(second.server_directory, answer)
        assert files(second.server_directory) == before
        with pytest.raises(StoreError, match="somebody on the way"):
            make(tmp_path / "third", answer)
        assert not (tmp_path / "third").exists()


def test_who_may_not_or_cannot_is_told_in_one_line(first: Fleet, tmp_path: Path) -> None:
    place, wrong = tmp_path / "second", tmp_path / "wrong"
    done = first.cli("server", "join", "--dir", str(place))
    assert done.returncode == ExitStatus.NOT_ALLOWED
    assert "give -u pivotal -k FILE" in done.stderr
    with throw_away_database() as other:
        cases: list[tuple[list[str], ExitStatus, str]] = [
            (["database_url=postgresql://127.0.0.1:1/push"], ExitStatus.ERROR, "cannot use"),
            ([f"database_url={other}"], ExitStatus.ERROR, ""),
            (["database_url="], ExitStatus.CONFIG, "names a SQLite file"),
            (["lease=0"], ExitStatus.CONFIG, "lease"),
            (["leese=2"], ExitStatus.CONFIG, "lease"),
        ]
        for values, status, why in cases:
            done = join(first, place, *values)
            assert (done.returncode, done.stdout) == (status, ""), values
            assert len(done.stderr.splitlines()) == 1, done.stderr
            assert why in done.stderr
            assert str(tmp_path / ".pushcli") not in done.stderr
            assert list(tmp_path.iterdir()) == []
    done = join(first, place, "lease=3", more=["--refresh"])
    assert done.returncode == ExitStatus.USAGE
    done = join(first, place, more=["--refresh"])
    assert done.returncode == ExitStatus.CONFIG
    assert "no server at" in done.stderr
    wrong.mkdir()
    (wrong / "precious").touch()
    done = join(first, wrong)
    assert done.returncode == ExitStatus.CONFIG
    assert "is not empty" in done.stderr
    done = join(first, first.server_directory)
    assert done.returncode == ExitStatus.CONFIG
    assert "holds a server: bring" in done.stderr
    assert [path.name for path in wrong.iterdir()] == ["precious"]


def test_the_database_of_another_server_is_not_taken(first: Fleet, tmp_path: Path) -> None:
    """With its secrets, but another's nodes and jobs."""
    with throw_away_database() as other:
        more = {"database_url": other}
        with Fleet(tmp_path / "other", [], settings=more) as second:
            done = join(first, tmp_path / "third", f"database_url={other}")
            assert done.returncode == ExitStatus.ERROR
            assert "is not the database of that server" in done.stderr
            assert not (tmp_path / "third").exists()
            # Nor are its secrets put in the place of ours.
            before = files(second.server_directory)
            done = join(first, second.server_directory, more=["--refresh"])
            assert done.returncode == ExitStatus.ERROR
            assert files(second.server_directory) == before


def test_files_elsewhere_are_named(first: Fleet, tmp_path: Path) -> None:
    outside = tmp_path / "cert.pem"
    shutil.copy2(first.server_directory / "tls/cert.pem", outside)
    file = first.server_directory / settings.FILE
    text = file.read_text()
    file.write_text(text.replace('"tls/cert.pem"', f'"{outside}"'))
    try:
        done = join(first, tmp_path / "second")
    finally:
        file.write_text(text)
    assert done.returncode == ExitStatus.OK, done.stderr
    assert f"name {outside}: bring it from the first machine" in done.stdout
    assert "advertised_host is '127.0.0.1' as on the first" in done.stdout
    assert not (tmp_path / "second" / "tls" / "cert.pem").exists()
    assert (tmp_path / "second" / "tls" / "key.pem").exists()
