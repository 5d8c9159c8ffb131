"""A feed that is open gives no more than a request of now would."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from pushcli import keys
from pushcli.sandbox.sandbox import Sandbox
from tests.support.feed_reader import FeedReader
from tests.support.identities import KEYS, Signer, new_user, operator, superuser
from tests.support.waiting import start, until

pytestmark = pytest.mark.timeout(60)
FEED = "job_status_feed"


@pytest.fixture(autouse=True)
def readers_group(server: Sandbox) -> Iterator[None]:
    ann = operator(server)
    ann("POST", "groups", {"groupname": "pushy_job_readers"})
    yield
    ann("DELETE", "groups/pushy_job_readers")


def opened(server: Sandbox, by: Signer) -> FeedReader:
    file = server.directory / f"{by.name}.pem"
    file.touch(0o600)
    file.write_bytes(keys.private_pem(by.raw.key))
    profile = replace(server.profile, client_name=by.name, client_key=str(file))
    reader = FeedReader(profile, FEED)
    assert reader.status == 200
    return reader


def test_a_feed_ends_with_the_right_to_read_it(server: Sandbox) -> None:
    ann, root = operator(server), superuser(server)
    members = "groups/pushy_job_readers/members"
    other = keys.public_pem(KEYS[2])
    ways: list[Callable[[str], object]] = [
        lambda name: ann("DELETE", f"{members}/users/{name}"),
        lambda name: ann("DELETE", f"users/{name}"),
        lambda name: root("DELETE", f"/users/{name}"),
        lambda name: root("PUT", f"/users/{name}/keys/default", {"public_key": other}),
    ]
    users = [new_user(server, KEYS[1]) for _ in (*ways, None)]
    for user in users:
        ann("POST", members, {"users": [user.name]})
    feeds = [opened(server, user) for user in users]
    for take_away, user in zip(ways, users, strict=False):
        take_away(user.name)
    with ThreadPoolExecutor(len(feeds)) as threads:
        *ending, going_on = [threads.submit(feed.rest) for feed in feeds]

        def have_ended() -> bool:
            start(server, "x", "ghost")
            return all(end.done() for end in ending)

        until(have_ended, "they have ended")
        assert not going_on.done()
        ann("DELETE", f"{members}/users/{users[-1].name}")
        ending.append(going_on)
        until(have_ended, "the last one has")
        assert all(end.result() for end in ending)
