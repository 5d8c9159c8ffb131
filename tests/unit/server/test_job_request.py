"""The body of `POST jobs`: what it means, and which of several faults is told."""

import base64
import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol import extensions, limits, messages, run_wire, wire
from pushcli.protocol.run import OPTIONS, RunSpec
from pushcli.protocol.timestamps import format_rfc1123
from pushcli_server.core.job_state import JobSpec
from pushcli_server.rest import job_request
from pushcli_server.rest.job_request import InvalidJob, parse

GOOD = {"command": "x", "nodes": ["a"]}


def body(**more: Any) -> bytes:
    return json.dumps({**GOOD, **more}).encode()


def refusal(text: bytes) -> str:
    with pytest.raises(InvalidJob) as caught:
        parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "large",
    [{"command": "x" * 250_000}, {"env": {"A": "x" * 250_000}}, {"file": "raw:" + "\1" * 50_000}],
)
def test_a_job_that_no_message_to_an_agent_could_carry_is_refused(large: dict[str, Any]) -> None:
    assert refusal(body(**large)) == job_request.SIZE


def test_a_job_as_large_as_a_message_carries_is_taken() -> None:
    most = limits.MAX_RUN - 1_000
    commit = messages.Commit(
        sequence=2**60,
        timestamp=format_rfc1123(0),
        job_id="f" * 32,
        server="s" * 255,
        requestor="r" * 255,
        **run_wire.commit_fields(parse(body(env={"A": "x" * most})).run, extensions.ALL),
    )
    assert len(messages.encode(commit)) < wire.MAX_BODY_TO_EARLIER


def test_what_is_not_given_has_its_default() -> None:
    assert parse(body()) == JobSpec(
        run=RunSpec(command="x", run_timeout=3600), nodes=("a",), quorum=1
    )


def test_what_is_given_is_taken_as_it_is() -> None:
    given_ = {
        "command": "", "nodes": ["b", "a"], "run_timeout": 0, "quorum": 0, "user": "", "dir": "",
        "env": {"": "", "A": "\u2603"}, "file": "raw:", "capture_output": True,
    }  # fmt: skip
    assert parse(json.dumps(given_).encode()) == JobSpec(
        run=RunSpec(
            command="", run_timeout=0, user="", dir="", env={"": "", "A": "\u2603"},
            file="raw:", capture=True,
        ),
        nodes=("b", "a"),
        quorum=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("quorum", "needed"), [(0, 0), (0.0, 0), (0.1, 1), (2, 2), (2.0, 2), (2.01, 3), (10**9, 10**9)]
)
def test_a_fraction_of_a_node_is_a_node(quorum: float, needed: int) -> None:
    assert parse(body(quorum=quorum)).quorum == needed


@pytest.mark.parametrize("most", [limits.MAX_QUORUM, float(limits.MAX_QUORUM)])
def test_a_quorum_may_be_as_large_as_a_fleet_can_be(most: float) -> None:
    assert parse(body(quorum=most)).quorum == limits.MAX_QUORUM


@pytest.mark.parametrize("more", [limits.MAX_QUORUM + 0.5, 2**31, 2**63, 10**30, 1e300])
def test_a_larger_quorum_is_refused(more: float) -> None:
    assert refusal(body(quorum=more)) == job_request.QUORUM


def test_a_command_may_run_for_thirty_years() -> None:
    assert parse(body(run_timeout=limits.MAX_RUN_TIMEOUT)).run.run_timeout == 1e9


@pytest.mark.parametrize(
    "more", [limits.MAX_RUN_TIMEOUT + 0.5, 9223372036854775808, 10**20, 10**400, 1e300]
)
def test_a_longer_time_is_refused(more: float) -> None:
    assert refusal(body(run_timeout=more)) == job_request.TIMEOUT


def test_nodes_given_twice_count_once_and_keep_their_order() -> None:
    spec = parse(body(nodes=["b", "a", "b", "c", "a"]))
    assert (spec.nodes, spec.quorum) == (("b", "a", "c"), 3)


@pytest.mark.parametrize("kind", ["raw", "base64"])
def test_a_file_is_measured_decoded(kind: str) -> None:
    def file(size: int) -> str:
        content = "x" * size
        if kind == "base64":
            content = base64.b64encode(content.encode()).decode()
        return f"{kind}:{content}"

    assert parse(body(file=file(100_000))).run.file == file(100_000)
    assert refusal(body(file=file(100_001))) == job_request.FILE_SIZE


def test_a_raw_file_is_measured_in_bytes_not_characters() -> None:
    assert refusal(body(file="raw:" + "\u2603" * 33_334)) == job_request.FILE_SIZE


# Each fault in the order in which they are told (protocol, section 3).
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"command": None}, job_request.COMMAND),
    ({"nodes": "a"}, job_request.NODES),
    ({"run_timeout": True}, job_request.TIMEOUT),
    ({"quorum": "1"}, job_request.QUORUM),
    ({"user": None}, job_request.UNKNOWN),
    ({"dir": 0}, job_request.UNKNOWN),
    ({"env": []}, job_request.UNKNOWN),
    ({"file": 0}, job_request.FILE),
    ({"capture_output": 0}, job_request.CAPTURE),
    ({"pushcli": []}, job_request.OPTIONS),
    ({"pushcli": {"default_capture": True}}, job_request.OPTIONS),
    ({"wibble": 0}, job_request.KEY),
    ({"nodes": []}, job_request.NODES),
    ({"env": "DUPLICATE"}, job_request.ENV_DUPLICATE),
    ({"file": "zip:"}, job_request.FILE),
    ({"file": "base64:*"}, job_request.FILE_BASE64),
    ({"file": "raw:" + "x" * 100_001}, job_request.FILE_SIZE),
]


@pytest.mark.parametrize(
    ("first", "second"),
    list(itertools.combinations_with_replacement(range(len(FAULTS)), 2)),
)
def test_of_two_faults_the_first_in_order_is_told(first: int, second: int) -> None:
    # One key cannot have two faults: the earlier one stays.
    faulty = {**GOOD, **FAULTS[second][0], **FAULTS[first][0]}
    text = json.dumps(faulty).replace('"DUPLICATE"', '{"A": "1", "B": "2", "A": "1"}')
    assert refusal(text.encode()) == FAULTS[first][1]


NUMBERS = ["true", "null", '"1"', "[]", "{}", "-1", "-0.001", "1e400", "-1e400", "9" * 400]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("key", ["run_timeout", "quorum"])
def test_what_is_no_number_of_that_kind(key: str, number: str) -> None:
    text = body(**{key: "HERE"}).replace(b'"HERE"', number.encode())
    expected = job_request.TIMEOUT if key == "run_timeout" else job_request.QUORUM
    assert refusal(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"{}" * 2, b"[" * 60_000, b'{"a":' * 60_000,
        body(quorum="HERE").replace(b'"HERE"', b"NaN"),
        body(quorum="HERE").replace(b'"HERE"', b"Infinity"),
        body(quorum="HERE").replace(b'"HERE"', b"9" * 5_000),
    ],
)  # fmt: skip
def test_what_is_no_json_object(text: bytes) -> None:
    assert refusal(text) == job_request.UNKNOWN


@pytest.mark.parametrize("text", ["\\u0000", "a\\ud800"])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("command", job_request.COMMAND),
        ("nodes", job_request.NODES),
        ("user", job_request.UNKNOWN),
        ("dir", job_request.UNKNOWN),
        ("env", job_request.UNKNOWN),
        ("file", job_request.FILE),
    ],
)
def test_text_that_neither_a_process_nor_a_database_can_hold(
    key: str, expected: str, text: str
) -> None:
    inside: Any = {"nodes": ["HERE"], "env": {"A": "HERE"}}.get(key, "HERE")
    assert refusal(body(**{key: inside}).replace(b"HERE", text.encode())) == expected


def test_names_of_environment_variables_are_text_too() -> None:
    assert refusal(body(env={"A\0": "b"})) == job_request.UNKNOWN


def test_a_node_name_is_as_long_as_the_store_has_room_for() -> None:
    assert parse(body(nodes=["a" * 255])).nodes == ("a" * 255,)
    assert refusal(body(nodes=["a" * 256])) == job_request.NODES


@pytest.mark.parametrize("exact", [True, False])
def test_what_ours_adds_is_a_part_of_the_run(exact: bool) -> None:
    assert parse(body(pushcli={"exact_env": exact})).run.exact_env is exact
    assert parse(body(pushcli={})) == parse(body())


def test_secret_variables_are_like_others_but_for_their_values() -> None:
    spec = parse(body(env={"A": "1"}, pushcli={"secret_env": {"B": "2"}}))
    assert (spec.run.secret_env, spec.secret_names) == ({"B": "2"}, ("B",))
    assert parse(body(pushcli={"secret_env": {}})) == parse(body())
    both = body(env={"A": "1"}, pushcli={"secret_env": {"A": "2"}})
    assert refusal(both) == job_request.ENV_DUPLICATE


def test_what_the_command_reads_is_a_part_of_the_run() -> None:
    assert parse(body(pushcli={"stdin": "raw:x"})).run.stdin == "raw:x"
    large = "raw:" + "\1" * 50_000
    assert refusal(body(pushcli={"stdin": large})) == job_request.SIZE


def test_jobs_may_have_an_id_in_common() -> None:
    assert parse(body()).batch is None
    assert parse(body(pushcli={"batch": "0f" * 16})).batch == "0f" * 16


def test_what_is_captured_by_default_gives_way_to_the_caller_and_to_the_server() -> None:
    run = parse(body(pushcli={"capture": "default"})).run
    assert (run.capture, run.default_capture) == (False, True)
    both = parse(body(capture_output=True, pushcli={"capture": "default"})).run
    assert (both.capture, both.default_capture) == (True, False)
    never = body(pushcli={"capture": "default"})
    assert parse(never, default_capture=False) == parse(body())
    for other in (True, False, None, "full", "", ["default"]):
        assert refusal(body(pushcli={"capture": other})) == job_request.OPTIONS


@pytest.mark.parametrize(
    "options",
    ['{"secret_env": []}', '{"secret_env": {"A": 1}}', '{"secret_env": {"A": "\\u0000"}}',
     '{"secret_env": {"A": "1", "A": "2"}}', '{"stdin": true}',
     '{"stdin": "x"}', '{"stdin": "base64:*"}', '{"stdin": "raw:\\u0000"}',
     '{"stdin": "raw:' + "x" * 100_001 + '"}', '{"batch": null}',
     '{"batch": "x"}', '{"batch": true}', '{"batch": "' + "F" * 32 + '"}',
     'null', '"x"', "[]", "1", '{"exact_env": 1}', '{"exact_env": null}', '{"exactenv": true}',
     '{"command": "id"}', '{"exact_env": true, "exact_env": true}', '{"exact_env": {}}'],
)  # fmt: skip
def test_options_that_nobody_knows_are_refused(options: str) -> None:
    text = body(pushcli="HERE").replace(b'"HERE"', options.encode())
    assert refusal(text) == job_request.OPTIONS


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_is_no_key_of_the_old_server(option: str) -> None:
    assert refusal(body(**{option: True})) == job_request.KEY


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(job_request.KEYS), values), st.booleans())
def test_whatever_comes_is_a_job_or_refused(job: dict[str, Any], with_basics: bool) -> None:
    with contextlib.suppress(InvalidJob):
        spec = parse(json.dumps({**job, **GOOD} if with_basics else job).encode())
        assert spec.nodes
        assert 0 <= spec.quorum <= limits.MAX_QUORUM
