"""A server that has several URLs: which is asked, and what is never done twice."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import errors
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.client.limits import Limits
from tests.integration.pushcli import api_server
from tests.integration.pushcli.api_server import HANG_UP, Answer, ApiServer, json_answer
from tests.integration.pushcli.conftest import Connect
from tests.support import certificates
from tests.support.certificates import Certificate
from tests.support.tcp_way import tcp_way

JOB = "aaaaaaaaaaaa25fd67fa8715fd547d3d"
STARTED = json_answer({"uri": f"http://127.0.0.1/organizations/acme/pushy/jobs/{JOB}"}, 201)


@pytest.fixture
def other() -> Iterator[ApiServer]:
    """The server at its second URL."""
    with api_server.running() as running:
        yield running


@pytest.fixture
def gone() -> str:
    """A URL at which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}/organizations/acme"


@pytest.fixture
def silent() -> Iterator[str]:
    """A URL at which connections come about, and no word is said."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}/organizations/acme"


def busy(after: str = "3600", *, ours: bool = True) -> Answer:
    answer = json_answer({"error": ["it is being drained; try again"]}, 503, ours=ours)
    answer.headers = {**answer.headers, "Retry-After": after}
    return answer


def test_the_first_is_asked_as_long_as_it_answers(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    client = connect(server.url, other_urls=(other.url,))
    client.jobs()
    client.abort_job(JOB)
    assert (len(server.requests), len(other.requests)) == (2, 0)
    assert client.passed_over == ""


@pytest.mark.parametrize("call", [lambda c: c.jobs(), lambda c: c.abort_job(JOB)])
def test_where_it_cannot_be_reached_the_next_is_asked_with_its_own_path(
    gone: str, other: ApiServer, connect: Connect, key: RSAPrivateKey,
    call: Callable[[ApiClient], object],
) -> None:  # fmt: skip
    url = other.url.replace("/organizations/", "/push/organizations/")
    client = connect(gone, other_urls=(gone, f"{url}/"))
    call(client)
    call(client)
    targets = [seen.target for seen in other.requests]
    assert len(targets) == 2
    assert all(target.startswith("/push/organizations/acme/pushy/jobs") for target in targets)
    assert all(seen.is_signed_by(key.public_key()) for seen in other.requests)
    assert client.passed_over == f"cannot reach {gone}: connection refused; {url} was asked"


def test_one_that_is_silent_costs_seconds_and_no_more(
    silent: str, other: ApiServer, connect: Connect
) -> None:
    client = connect(silent, other_urls=(other.url,))
    client.jobs()
    why = f"cannot reach {silent}: no connection within 3 s"
    assert client.passed_over == f"{why}; {other.url} was asked"


def test_the_one_that_answered_is_asked_until_it_cannot_be_reached(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    with tcp_way("127.0.0.1", urlsplit(server.url).port or 0) as way:
        client = connect(f"http://127.0.0.1:{way.port}/organizations/acme", other_urls=(other.url,))
        client.jobs()
        way.close()
        client.jobs()
        way.open()
        client.jobs()
    assert (len(server.requests), len(other.requests)) == (1, 2)


def test_none_that_can_be_reached_is_one_line_with_all(gone: str, connect: Connect) -> None:
    also = gone.replace("127.0.0.1", "localhost")
    client = connect(gone, other_urls=(also,))
    with pytest.raises(errors.ServerUnreachable) as raised:
        client.start_job({"command": "x"})
    assert f"cannot reach {gone}: connection refused; cannot reach {also}: " in str(raised.value)
    assert str(raised.value).endswith("is it running, and is the URL right?")
    assert "may have started" not in str(raised.value)


def test_whoever_answers_in_its_place_is_not_passed_over(
    certificate: Certificate, other: ApiServer, connect: Connect, tmp_path: Path
) -> None:
    another = certificates.self_signed(tmp_path / "another", ["127.0.0.1"])
    with api_server.running(certificate.context) as impostor:
        for trust in ({"fingerprint": another.fingerprint}, {"ca_file": another.file}):
            client = connect(impostor.url, other_urls=(other.url,), **trust)
            with pytest.raises(errors.NotTrusted, match="its certificate is not"):
                client.jobs()
        assert impostor.requests == []
    assert other.requests == []


def test_after_it_the_first_is_asked_again(
    certificate: Certificate, server: ApiServer, connect: Connect
) -> None:
    """It was restarted, and the other is not what the profile says: nobody hangs on that one."""
    with (
        tcp_way("127.0.0.1", urlsplit(server.url).port or 0) as way,
        api_server.running(certificate.context) as impostor,
    ):
        first = f"http://127.0.0.1:{way.port}/organizations/acme"
        client = connect(first, other_urls=(impostor.url,), ca_file=None)
        client.jobs()
        way.close()
        with pytest.raises(errors.NotTrusted) as raised:
            client.jobs()
        assert f"cannot reach {first}: connection refused; cannot reach {impostor.url}: its" in str(
            raised.value
        )
        way.open()
        assert client.jobs() == {}
        # Nor where the other would be next for another reason.
        server.answers = [HANG_UP, Answer()]
        with pytest.raises(errors.ConnectionLost):
            client.abort_job(JOB)
        with pytest.raises(errors.NotTrusted):
            client.jobs()
        assert client.jobs() == {}
        server.answers = [busy("1"), Answer()]
        with pytest.raises(errors.NotTrusted):
            client.jobs()
        assert client.jobs() == {}


@pytest.mark.parametrize("status", [502, 503, 504])
def test_where_a_proxy_says_that_it_is_not_there_reading_goes_on_elsewhere(
    server: ApiServer, other: ApiServer, connect: Connect, status: int
) -> None:
    page = Answer(status, b"<html>", {"Content-Type": "text/html"})
    server.answers = [page]
    client = connect(server.url, other_urls=(other.url,))
    with pytest.raises(errors.BadGateway):
        client.abort_job(JOB)
    client.abort_job(JOB)
    assert (len(server.requests), len(other.requests)) == (1, 1)
    client = connect(server.url, other_urls=(other.url,))
    client.jobs()
    assert (len(server.requests), len(other.requests)) == (2, 2)


@pytest.mark.parametrize("after", ["1", "3600"])
def test_where_the_others_are_gone_the_busy_one_is_asked_when_it_says(
    server: ApiServer, gone: str, connect: Connect, after: str
) -> None:
    server.answers = [busy(after), json_answer([])]
    client = connect(server.url, other_urls=(gone, gone, gone))
    began = time.monotonic()
    if after == "1":
        assert client.jobs() == []
        assert time.monotonic() - began >= 1
        assert len(server.requests) == 2
    else:
        with pytest.raises(errors.Busy):
            client.jobs()
        assert len(server.requests) == 1


def test_a_request_that_is_shown_to_nobody_is_not_sent(
    server: ApiServer, profile: Callable[..., Profile]
) -> None:
    """`pushcli -VV ... | head`: nothing is wrong with the server."""

    def show(_: str) -> None:
        raise BrokenPipeError

    client = ApiClient(profile(server.url), trace=show)
    with closing(client), pytest.raises(BrokenPipeError):
        client.start_job({"command": "x"})
    assert server.requests == []


def test_the_trace_tells_what_was_passed_over(
    gone: str, other: ApiServer, profile: Callable[..., Profile]
) -> None:
    lines: list[str] = []
    with closing(ApiClient(profile(gone, other_urls=(other.url,)), trace=lines.append)) as client:
        client.jobs()
    assert lines[0] == f"* cannot reach {gone}: connection refused"
    assert lines[1].startswith("> GET /organizations/acme/pushy/jobs")


def test_where_one_is_busy_the_next_is_asked_at_once(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    server.answers, other.answers = [busy()], [json_answer({"status": "aborted"})]
    client = connect(server.url, other_urls=(other.url,))
    assert client.abort_job(JOB) == "aborted"
    assert (len(server.requests), len(other.requests)) == (1, 1)
    assert "it is being drained" in client.passed_over


def test_where_all_are_busy_they_are_waited_for_in_turn(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    server.answers, other.answers = [busy("1"), json_answer([])], [busy("1")]
    client = connect(server.url, other_urls=(other.url,))
    assert client.jobs() == []
    assert (len(server.requests), len(other.requests)) == (2, 1)
    assert client.passed_over == ""


def test_where_all_are_busy_for_long_it_is_said(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    server.answers, other.answers = [busy()], [busy()]
    with pytest.raises(errors.Busy, match="it is being drained"):
        connect(server.url, other_urls=(other.url,)).jobs()
    assert (len(server.requests), len(other.requests)) == (1, 1)


def test_what_is_no_word_of_ours_does_not_repeat_a_write(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    server.answers = [busy("0", ours=False)]
    with pytest.raises(errors.Busy):
        connect(server.url, other_urls=(other.url,)).abort_job(JOB)
    assert (len(server.requests), len(other.requests)) == (1, 0)


def test_what_reads_is_asked_elsewhere_when_a_connection_breaks(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    server.answers = [HANG_UP]
    connect(server.url, other_urls=(other.url,)).jobs()
    assert (len(server.requests), len(other.requests)) == (1, 1)


def test_what_reads_is_asked_everywhere_once(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    server.answers, other.answers = [HANG_UP], [HANG_UP]
    with pytest.raises(errors.ConnectionLost):
        connect(server.url, other_urls=(other.url,)).jobs()
    assert (len(server.requests), len(other.requests)) == (1, 1)


def test_a_write_that_may_have_been_done_is_not_repeated_elsewhere(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    server.answers = [HANG_UP]
    with pytest.raises(errors.ConnectionLost):
        connect(server.url, other_urls=(other.url,)).abort_job(JOB)
    assert (len(server.requests), len(other.requests)) == (1, 0)


def test_a_start_that_broke_goes_on_elsewhere_with_the_same_request_id(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    server.answers, other.answers = [HANG_UP], [json_answer([]), STARTED]
    client = connect(server.url, other_urls=(other.url,))
    assert client.start_job({"command": "x"}) == JOB
    [first, last] = [seen for seen in (*server.requests, *other.requests) if seen.method == "POST"]
    assert first.headers["x-pushcli-request-id"] == last.headers["x-pushcli-request-id"]


def test_a_feed_that_is_refused_or_broken_is_had_elsewhere(
    server: ApiServer, other: ApiServer, connect: Connect
) -> None:
    client = connect(server.url, other_urls=(other.url,))
    for refused in (busy(), HANG_UP):
        server.answers = [refused]
        with pytest.raises((errors.Busy, errors.ConnectionLost)):
            list(client.job_feed(JOB))
        other.answers = [Answer(body=b"event: run_complete\nid: 1\ndata: {}\n\n"), HANG_UP]
        [[event]] = client.job_feed(JOB)
        assert event.name == "run_complete"
        with pytest.raises(errors.ConnectionLost):
            list(client.job_feed(JOB))
    assert (len(server.requests), len(other.requests)) == (2, 4)


def test_threads_that_find_it_gone_at_once_pass_nobody_over(
    silent: str, server: ApiServer, profile: Callable[..., Profile]
) -> None:
    """Each of them fails at the first, which counts once."""
    limits = Limits(connect=2.0)
    client = ApiClient(profile(silent, other_urls=(server.url,)), limits=limits)
    with closing(client), ThreadPoolExecutor(4) as threads:
        assert [*threads.map(lambda _: client.jobs(), range(4))] == [{}] * 4
    assert len(server.requests) == 4


def test_plain_http_over_a_network_is_refused_at_every_url(connect: Connect) -> None:
    with pytest.raises(errors.ConfigError, match="http"):
        connect("http://127.0.0.1:1/organizations/acme",
                other_urls=("http://push.example.com/organizations/acme",))  # fmt: skip
