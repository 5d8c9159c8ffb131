"""The child that fetches the configuration, against real HTTP and TLS."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from pushcli import keys, tls
from pushcli.protocol import extensions
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.events import ConfigFailed, Configured
from pushcli_agent.link.config_request import ConfigRequest
from pushcli_agent.link.fetcher import Fetcher
from tests.support.scripted_server import NODE, ScriptedServer, handler

CURVE_KEY = "a}g*FN2FMJJ>MlxJ+jsi3gKmqncP4OwPr@5/Ov<y"


def request(url: str, key_file: Path, **changed: object) -> ConfigRequest:
    wanted = ConfigRequest(
        server_urls=(url,),
        node_name=NODE,
        client_key=str(key_file),
        ca_file=None,
        fingerprint=None,
        signing_version="1.3",
        curve_public_key=CURVE_KEY,
        adopts=(),
    )
    return msgspec.structs.replace(wanted, **changed)


def fetch(wanted: ConfigRequest) -> Configured | ConfigFailed:
    fetcher = Fetcher()
    fetcher.start(wanted)
    while True:
        assert select.select([fetcher.fd], [], [], 15)[0]
        answer = fetcher.receive()
        if answer is not None:
            assert fetcher.fd == -1
            return answer


def configuration(wanted: ConfigRequest) -> ServerConfig:
    answer = fetch(wanted)
    assert isinstance(answer, Configured), answer
    return answer.config


def failure(wanted: ConfigRequest) -> str:
    answer = fetch(wanted)
    assert isinstance(answer, ConfigFailed), answer
    assert "\n" not in answer.reason
    assert "Traceback" not in answer.reason
    return answer.reason


def test_the_answer_is_verified_decrypted_and_reduced_to_what_the_agent_needs(
    server: ScriptedServer, key_file: Path
) -> None:
    config = configuration(request(server.url, key_file))
    assert config.session_key == server.session_key
    assert config.command_addr.endswith(str(server.command_port))
    numbers = server.rsa_key.public_key().public_numbers()
    assert (int.from_bytes(config.modulus, "big"), config.exponent) == (numbers.n, numbers.e)
    assert config.extensions == server.offers
    assert config.interval == 0.25


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_the_request_is_signed_as_configured_and_says_what_we_can(
    server: ScriptedServer, key_file: Path, version: str
) -> None:
    configuration(request(server.url + "/", key_file, signing_version=version, adopts=("a", "b")))
    [seen] = server.requests
    assert seen.path == f"/organizations/acme/pushy/config/{NODE}"
    assert seen.query["ccpk"] == [CURVE_KEY]
    assert seen.query["version"] == ["2.0"]
    assert seen.query["adopts"] == ["a", "b"]
    assert seen.query["extensions"] == [extensions.render(extensions.ALL)]
    assert seen.query["client"][0].startswith("pushcli/")


def test_an_answer_of_an_old_server_names_no_extensions(
    server: ScriptedServer, key_file: Path
) -> None:
    server.offers = frozenset()
    assert configuration(request(server.url, key_file)).extensions == frozenset()


def test_a_splay_counts_where_it_was_agreed_on(server: ScriptedServer, key_file: Path) -> None:
    server.changed = {"reconfigure_splay": 50}
    asked = request(server.url, key_file)
    assert configuration(asked).reconfigure_splay == 50
    server.offers = server.offers - {extensions.SPLAY}
    assert configuration(asked).reconfigure_splay == 0


def test_extensions_that_we_do_not_know_are_not_agreed(
    server: ScriptedServer, key_file: Path
) -> None:
    server.offers = frozenset({"results", "telepathy"})
    assert configuration(request(server.url, key_file)).extensions == {"results"}


def test_a_refusal_is_one_line_with_the_server_s_words(
    server: ScriptedServer, key_file: Path, tmp_path: Path
) -> None:
    server.refuse = (403, {"error": ["Client and node\nname must match"]})
    assert failure(request(server.url, key_file)) == (
        "the server refused the configuration of web01: Client and node\\nname must match: "
        "enroll the node"
    )
    other = tmp_path / "other.pem"
    keys.write_private_key(other, keys.generate())
    assert failure(request(server.url, other)).endswith(
        ": enroll the node, or check node_name and client_key in agent.toml"
    )


def test_a_server_that_is_busy_says_when_to_come_again(
    server: ScriptedServer, key_file: Path
) -> None:
    server.refuse = (503, {"error": ["too many connections at once; try again"]})
    server.retry_after = "7"
    answer = fetch(request(server.url, key_file))
    assert answer == ConfigFailed(
        "the server failed (503): too many connections at once; try again", 7
    )


@contextlib.contextmanager
def in_its_place(*, listens: bool) -> Iterator[str]:
    """A URL where nobody answers: nobody is there, or somebody hangs."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        if listens:
            place.listen()
        yield f"http://127.0.0.1:{place.getsockname()[1]}/organizations/acme"


@pytest.mark.parametrize("listens", [False, True], ids=["gone", "hung"])
def test_where_one_url_answers_nobody_the_next_is_asked(
    server: ScriptedServer, key_file: Path, listens: bool
) -> None:
    with in_its_place(listens=listens) as other:
        asked = request(server.url, key_file, server_urls=(other, server.url))
        assert configuration(asked).command_addr.endswith(str(server.command_port))
    [seen] = server.requests
    assert seen.query["ccpk"] == [CURVE_KEY]


def test_where_none_answers_each_is_named(server: ScriptedServer, key_file: Path) -> None:
    with in_its_place(listens=False) as one, in_its_place(listens=False) as two:
        why = failure(request(server.url, key_file, server_urls=(one, two)))
    assert f"cannot reach {one}: connection refused; cannot reach {two}" in why
    assert server.requests == []


def test_one_that_refuses_the_node_is_not_passed_over(
    server: ScriptedServer, key_file: Path
) -> None:
    server.refuse = (403, {"error": ["Client and node name must match"]})
    with in_its_place(listens=False) as other:
        why = failure(request(server.url, key_file, server_urls=(server.url, other)))
    assert why.startswith("the server refused the configuration of web01")


def test_a_key_for_another_node_gives_no_session_key(
    server: ScriptedServer, key_file: Path
) -> None:
    server.changed = {"encoded_session_key": {"method": "hmac_sha256", "key": "AAAA"}}
    assert "the session key is unusable" in failure(request(server.url, key_file))


@pytest.mark.parametrize(
    "changed",
    [
        {"node": "web02"},
        {"curve_public_key": "short"},
        {"curve_public_key": "é" * 40},
        {"push_jobs": {}},
        {"public_key": "none"},
        {"lifetime": -1},
        {"reconfigure_splay": -1},
        {"reconfigure_splay": 1e300},
        {"reconfigure_splay": "long"},
        {"max_body_size": "large"},
        {"encoded_session_key": {"method": "rot13", "key": "AAAA"}},
        {"encoded_session_key": []},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(
    server: ScriptedServer, key_file: Path, changed: dict[str, object]
) -> None:
    server.changed = changed
    assert failure(request(server.url, key_file))


def test_nobody_at_the_port_is_told_plainly(key_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"http://127.0.0.1:{port}/organizations/acme"
    assert failure(request(url, key_file)) == (
        f"cannot reach {url}: connection refused: is it running, and is the URL right?"
    )


def test_a_server_that_does_not_answer_is_given_five_seconds(key_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/organizations/acme"
        assert "no answer within 5 s" in failure(request(url, key_file))


def test_a_server_that_speaks_no_http_is_told_plainly(key_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            connection, _ = other.accept()
            with connection:
                connection.sendall(b"220 smtp ready\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"http://127.0.0.1:{other.getsockname()[1]}/organizations/acme"
        assert "cannot reach" in failure(request(url, key_file))
        thread.join()


def test_plain_http_beyond_this_machine_is_not_used(key_file: Path) -> None:
    reason = failure(request("http://192.0.2.1/organizations/acme", key_file))
    assert "in the clear" in reason


def test_a_missing_key_is_told_plainly(server: ScriptedServer, tmp_path: Path) -> None:
    assert "cannot read the key" in failure(request(server.url, tmp_path / "none.pem"))


def test_a_child_that_is_not_wanted_any_more_is_ended(key_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        fetcher = Fetcher()
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/organizations/acme"
        fetcher.start(request(url, key_file))
        fetcher.stop()
        assert fetcher.fd == -1


# --- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, Path, Path]:
    """PEM, and the files of certificate and key."""
    pem, key = tls.make_self_signed(["127.0.0.1"])
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_text(pem)
    files[1].write_bytes(key)
    return pem, *files


@contextlib.contextmanager
def over_tls(server: ScriptedServer, certificate: Path, key: Path) -> Iterator[str]:
    """The same server behind TLS; its URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    https = ThreadingHTTPServer(("127.0.0.1", 0), handler(server))
    https.socket = context.wrap_socket(https.socket, server_side=True)
    https.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=https.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{https.server_port}/organizations/acme"
    finally:
        https.shutdown()
        thread.join()
        https.server_close()


def test_a_self_signed_server_is_trusted_by_fingerprint_or_ca_file_only(
    server: ScriptedServer, key_file: Path, certificate: tuple[str, Path, Path]
) -> None:
    pem, *files = certificate
    pin = tls.certificate_fingerprint(pem)
    with over_tls(server, *files) as url:
        reason = failure(request(url, key_file))
        assert "certificate is not trusted" in reason
        assert reason.endswith("set ca_file or fingerprint in agent.toml")
        assert configuration(request(url, key_file, fingerprint=pin))
        assert configuration(request(url, key_file, ca_file=str(files[0])))
        assert len(server.requests) == 2


def test_another_certificate_than_the_pinned_one_learns_nothing(
    server: ScriptedServer, key_file: Path, certificate: tuple[str, Path, Path]
) -> None:
    _, *files = certificate
    other, _ = tls.make_self_signed(["127.0.0.1"])
    pin = tls.certificate_fingerprint(other)
    with over_tls(server, *files) as url:
        assert "its certificate is not the pinned one" in failure(
            request(url, key_file, fingerprint=pin)
        )
    assert server.requests == []
