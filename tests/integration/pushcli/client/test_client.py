"""The REST client: what it sends, and what becomes of every answer."""

import json
import socket
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import errors
from pushcli.client.api import ApiClient
from pushcli.protocol import signing
from tests.integration.pushcli.api_server import HANG_UP, Answer, ApiServer, json_answer
from tests.integration.pushcli.conftest import Connect

JOB = "aaaaaaaaaaaa25fd67fa8715fd547d3d"
STARTED = {"uri": f"http://127.0.0.1/organizations/acme/pushy/jobs/{JOB}"}
PUSHY = "/organizations/acme/pushy"


@pytest.fixture
def client(server: ApiServer, connect: Connect) -> ApiClient:
    """Of the user `ann`."""
    return connect(server.url)


@pytest.mark.parametrize(
    ("call", "method", "target"),
    [
        (lambda c: c.jobs(), "GET", "/jobs"),
        (lambda c: c.job(JOB), "GET", f"/jobs/{JOB}"),
        (lambda c: c.job_output(JOB, "a b/c?", "stdout"), "GET",
         f"/jobs/{JOB}/output/a%20b%2Fc%3F/stdout"),
        (lambda c: c.abort_job(JOB), "POST", f"/jobs/{JOB}/abort"),
        (lambda c: c.node_states(), "GET", "/node_states"),
        (lambda c: c.node_state("web01"), "GET", "/node_states/web01"),
        (lambda c: c.get("pushy/jobs", {"q": "a b:c"}), "GET", "/jobs?q=a+b%3Ac"),
        (lambda c: c.put("pushy/x", {"a": 1}), "PUT", "/x"),
        (lambda c: c.delete("pushy/x"), "DELETE", "/x"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", sorted(signing.ALGORITHMS))
def test_each_call_is_signed_as_it_goes_out(
    server: ApiServer,
    connect: Connect,
    key: RSAPrivateKey,
    version: str,
    call: Callable[[ApiClient], object],
    method: str,
    target: str,
) -> None:
    call(connect(server.url, signing_version=version))
    [seen] = server.requests
    assert (seen.method, seen.target) == (method, PUSHY + target)
    assert seen.is_signed_by(key.public_key())
    assert seen.headers["x-ops-sign"].endswith(f"version={version};")
    assert seen.headers["user-agent"].startswith("pushcli/")


@pytest.mark.parametrize("name", ["..", ".", "a~b", "%41", "é", "\x1b[2J", "a//b", "#"])
def test_even_odd_names_are_signed_as_they_go_out(
    server: ApiServer, client: ApiClient, key: RSAPrivateKey, name: str
) -> None:
    client.node_state(name)
    assert server.requests[0].is_signed_by(key.public_key())


def test_a_url_may_end_in_a_slash(server: ApiServer, connect: Connect, key: RSAPrivateKey) -> None:
    connect(server.url + "/").jobs()
    assert server.requests[0].target == f"{PUSHY}/jobs"
    assert server.requests[0].is_signed_by(key.public_key())


def test_output_is_given_as_bytes(server: ApiServer, client: ApiClient) -> None:
    server.answers = [Answer(200, b"\xff\x00\r\n")]
    assert client.job_output(JOB, "web01", "stderr") == b"\xff\x00\r\n"
    assert server.requests[0].headers["accept"] == "application/octet-stream"


def test_each_nodes_part_is_asked_for_only_where_the_server_can_tell(
    server: ApiServer, client: ApiClient
) -> None:
    server.answers = [json_answer({}, ours=False), json_answer({}), json_answer([])]
    client.job(JOB)
    assert client.job_nodes(JOB) is None
    client.job(JOB)
    assert client.extensions == {"abort", "job-nodes", "request-id"}
    assert client.job_nodes(JOB) == []


# --- answers that are no success


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, {"error": "invalid key supplied"}, errors.RequestRefused, "(400): invalid key"),
        (400, {}, errors.RequestRefused, "no reason given"),
        (401, {"error": ["Invalid signature for user or client 'ann'"]},
         errors.AuthenticationError, "check client_name and client_key of profile 'default'"),
        (401, {"error": ["Failed to authenticate as ann. Synchronize the clock on your host."]},
         errors.AuthenticationError, "ann. Synchronize the clock on your host"),
        (403, {"error": ["does not have access", "sorry"]}, errors.PermissionDenied,
         "does not have access; sorry: ask an administrator"),
        (404, {"error": ["organization 'acme' does not exist."]}, errors.NotFound,
         "'acme' does not exist: check the name, and the URL"),
        (409, {"error": "taken"}, errors.Conflict, "(409): taken"),
        (413, {"error": "JSON must be no more than 1000000 bytes."}, errors.RequestRefused, "413"),
        (500, {"error": 7}, errors.ServerError, "the server failed (500): 7"),
        (503, "<html>", errors.ServerError, "the server failed (503): see its log"),
    ],
)  # fmt: skip
def test_a_refusal_is_raised_as_what_it_is(
    server: ApiServer,
    client: ApiClient,
    status: int,
    body: object,
    error: type[errors.PushcliError],
    words: str,
) -> None:
    server.answers = [json_answer(body, status)]
    with pytest.raises(error) as caught:
        client.jobs()
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (413, errors.RequestRefused, "takes no request as large as this (413): raise its limit"),
        (414, errors.RequestRefused, "takes no headers as long as these (414)"),
        (431, errors.RequestRefused, "takes no headers as long as these (431)"),
        (502, errors.ServerError, "cannot reach it (502): is the server running"),
        (503, errors.ServerError, "cannot reach it (503)"),
        (504, errors.ServerError, "got no answer from it in time (504)"),
        (404, errors.NotFound, "not found"),
    ],
)
def test_a_page_of_a_proxy_is_one_line(
    server: ApiServer, client: ApiClient, status: int, error: type[errors.PushcliError], words: str
) -> None:
    page = json_answer("<html>\n<center>nginx</center>", status, ours=False)
    page.headers = {"Content-Type": "text/html; charset=utf-8"}
    server.answers = [page]
    with pytest.raises(error) as caught:
        client.jobs()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ("a proxy before the server" in str(caught.value)) is (status != 404)


def test_what_the_server_says_itself_is_no_proxys_page(
    server: ApiServer, client: ApiClient
) -> None:
    page = json_answer({"error": ["full"]}, 503)
    page.headers = {**page.headers, "Content-Type": "text/html"}
    server.answers = [page]
    with pytest.raises(errors.ServerError) as caught:
        client.jobs()
    assert str(caught.value) == "the server failed (503): full: see its log"


def busy(after: str, *, ours: bool = True) -> Answer:
    answer = json_answer({"error": ["too many connections at once; try again"]}, 503, ours=ours)
    answer.headers = {**answer.headers, "Retry-After": after}
    return answer


def test_a_server_that_is_busy_is_asked_again_when_it_says(
    server: ApiServer, client: ApiClient, key: RSAPrivateKey
) -> None:
    server.answers = [busy("1"), json_answer({"status": "aborted"})]
    began = time.monotonic()
    assert client.abort_job(JOB) == "aborted"
    assert time.monotonic() - began >= 1
    assert [seen.is_signed_by(key.public_key()) for seen in server.requests] == [True, True]


@pytest.mark.parametrize("after", ["3600", "9" * 400])
def test_one_that_is_busy_for_long_is_not_waited_for(
    server: ApiServer, client: ApiClient, after: str
) -> None:
    server.answers = [busy(after)]
    with pytest.raises(errors.Busy) as raised:
        client.jobs()
    assert str(raised.value) == "the server failed (503): too many connections at once; try again"
    assert len(server.requests) == 1


def test_nor_one_that_is_busy_again_and_again(server: ApiServer, client: ApiClient) -> None:
    server.answers = [busy("0")]
    with pytest.raises(errors.Busy):
        client.jobs()
    assert 10 < len(server.requests) < 25


def test_of_a_server_that_is_not_ours_only_reading_is_repeated(
    server: ApiServer, client: ApiClient
) -> None:
    server.answers = [busy("1", ours=False), json_answer([])]
    assert client.jobs() == []
    server.answers = [busy("1", ours=False)]
    with pytest.raises(errors.Busy):
        client.start_job({"command": "uptime", "nodes": ["n1"]})
    assert len(server.requests) == 3


def test_a_write_that_may_have_been_done_is_not_repeated(
    server: ApiServer, client: ApiClient
) -> None:
    text = "the server's database is away (it cannot be reached); this may have been done"
    server.answers = [json_answer({"error": [text]}, 503, ours=True)]
    with pytest.raises(errors.ServerError, match="may have been done"):
        client.abort_job(JOB)
    assert len(server.requests) == 1


def test_a_date_is_no_number_of_seconds(server: ApiServer, client: ApiClient) -> None:
    server.answers = [busy("Wed, 21 Oct 2026 07:28:00 GMT")]
    with pytest.raises(errors.ServerError) as raised:
        client.jobs()
    assert not isinstance(raised.value, errors.Busy)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff\xfe", b"[" * 60_000, b'{"error": ' * 60_000],
    ids=lambda body: repr(body[:12]),
)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_body_that_is_no_json_is_no_traceback(
    server: ApiServer, client: ApiClient, status: int, body: bytes
) -> None:
    server.answers = [Answer(status, body)]
    with pytest.raises(errors.PushcliError) as caught:
        client.jobs()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_servers_words_are_short_and_steer_no_terminal(
    server: ApiServer, client: ApiClient
) -> None:
    server.answers = [json_answer({"error": "\x1b[2J\n\ud800" + "x" * 10_000}, 400)]
    with pytest.raises(errors.RequestRefused) as caught:
        client.jobs()
    assert r"\x1b[2J\n\ud800xxx" in caught.value.message
    assert len(caught.value.message) < 600


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(server: ApiServer, client: ApiClient, status: int) -> None:
    server.answers = [Answer(status, headers={"Location": f"{server.url}/elsewhere"})]
    with pytest.raises(errors.ServerError, match=f"redirect .{status}.: give its final URL"):
        client.jobs()
    assert len(server.requests) == 1


def test_nobody_there_and_no_answer_are_unreachable(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/organizations/acme"
        with pytest.raises(errors.ServerUnreachable, match=r"no answer within 0\.1 s"):
            connect(url, timeout=0.1).jobs()
    with pytest.raises(errors.ServerUnreachable, match=r"connection refused: is it running"):
        connect(url).jobs()


def test_a_connection_that_breaks_is_unreachable(server: ApiServer, client: ApiClient) -> None:
    server.answers = [HANG_UP]
    with pytest.raises(errors.ServerUnreachable, match="the connection broke"):
        client.jobs()
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", ["", "ann\r\nX-Evil: 1", "Łukasz", "a b", "x" * 300])
def test_a_name_that_cannot_be_sent_is_refused_at_once(
    server: ApiServer, connect: Connect, name: str
) -> None:
    with pytest.raises(errors.ConfigError, match="invalid user or client name"):
        connect(server.url, client_name=name)


def test_a_name_too_long_for_the_old_signing_is_told(server: ApiServer, connect: Connect) -> None:
    client = connect(server.url, client_name="x" * 200, signing_version="1.0")
    with pytest.raises(errors.ConfigError, match=r"too long .* signing_version to 1\.3"):
        client.jobs()
    assert connect(server.url, client_name="x" * 200).jobs() == {}


# --- starting a job once


def test_a_job_is_started_with_its_specification(
    server: ApiServer, client: ApiClient, key: RSAPrivateKey
) -> None:
    server.answers = [json_answer(STARTED, 201)]
    spec = {"command": "é\n", "nodes": ["web01"]}
    assert client.start_job(spec) == JOB
    [seen] = server.requests
    assert (seen.method, seen.target) == ("POST", f"{PUSHY}/jobs")
    assert json.loads(seen.body) == spec
    assert seen.headers["content-type"] == "application/json"
    assert seen.is_signed_by(key.public_key())


def test_each_start_has_its_own_request_id(server: ApiServer, client: ApiClient) -> None:
    server.answers = [json_answer(STARTED, 201)]
    for _ in range(2):
        client.start_job({})
    assert len({seen.headers["x-pushcli-request-id"] for seen in server.requests}) == 2


def test_equal_writes_of_one_second_have_signatures_of_their_own(
    server: ApiServer, client: ApiClient
) -> None:
    """A server takes many with one signature for one that was captured."""
    server.answers = [json_answer(STARTED, 201)]
    for _ in range(4):
        client.start_job({"command": "x"})
        client.post("tokens", {"uses": 1})
        client.put("groups/g", {"name": "g"})
    bodies = [seen.body for seen in server.requests]
    assert len(set(bodies)) == 12
    assert {bytes(body).rstrip() for body in bodies} == {
        b'{"command":"x"}', b'{"uses":1}', b'{"name":"g"}',
    }  # fmt: skip


@pytest.mark.parametrize("allowed", [json_answer([]), json_answer({"error": ["no"]}, 403)])
def test_a_start_that_broke_is_repeated_with_the_same_request_id(
    server: ApiServer, client: ApiClient, allowed: Answer
) -> None:
    server.answers = [HANG_UP, HANG_UP, allowed, json_answer(STARTED, 201)]
    assert client.start_job({"command": "x"}) == JOB
    posts = [seen for seen in server.requests if seen.method == "POST"]
    assert len(posts) == 2
    assert len({seen.headers["x-pushcli-request-id"] for seen in posts}) == 1
    assert posts[0].body == posts[1].body


def test_a_start_that_broke_is_never_repeated_on_an_old_server(
    server: ApiServer, client: ApiClient
) -> None:
    server.answers = [HANG_UP, json_answer([], ours=False)]
    with pytest.raises(errors.ServerUnreachable, match=r"may have started.*`pushcli job list`"):
        client.start_job({"command": "x"})
    assert [seen.method for seen in server.requests] == ["POST", "GET"]


def test_a_start_that_never_left_is_not_waited_for(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/organizations/acme"
    with pytest.raises(errors.ServerUnreachable, match="is it running") as caught:
        connect(url).start_job({"command": "x"})
    assert "may have started" not in str(caught.value)


@pytest.mark.parametrize("answer", [{}, [], {"uri": None}, {"uri": "x"}, {"uri": "X" * 40}])
def test_an_answer_without_a_job_is_the_servers_error(
    server: ApiServer, client: ApiClient, answer: object
) -> None:
    server.answers = [json_answer(answer, 201)]
    with pytest.raises(errors.ServerError, match="did not say which job"):
        client.start_job({"command": "x"})


def test_an_abort_tells_the_status(server: ApiServer, client: ApiClient) -> None:
    server.answers = [json_answer({"status": "aborted"})]
    assert client.abort_job(JOB) == "aborted"
