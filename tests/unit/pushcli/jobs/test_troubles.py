import pytest

from pushcli.jobs.model import NodeResult
from pushcli.jobs.troubles import MOST_LINES, exceptions


def unavailable(node: str, since: str) -> NodeResult:
    return NodeResult(node=node, state="unavailable", reason=f"offline since 2020-01-01T{since}Z")


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time  # noqa: PLC0415

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_nodes_in_the_same_plight_share_a_line() -> None:
    results = [
        NodeResult(node="a", state="succeeded", exit_code=0),
        NodeResult(node="b", state="nacked", reason="not on the whitelist"),
        NodeResult(node="c", state="failed", exit_code=3),
        NodeResult(node="d", state="nacked", reason="not on the whitelist"),
        NodeResult(node="e", state="crashed"),
        NodeResult(node="f", state="was_ready"),
        NodeResult(node="web01", state="unavailable", reason="offline"),
        NodeResult(node="web02", state="unavailable", reason="offline"),
        NodeResult(node="g", state="unheard_of"),
        NodeResult(node="h", state="succeeded", stdout_dropped=2),
    ]
    assert exceptions(results) == [
        "2 unavailable: web[01-02] (offline)",
        "2 nacked: b,d (not on the whitelist)",
        "unheard_of: g",
        "succeeded: h (2 bytes of output missing)",
        "crashed: e",
        "failed: c (exit code 3)",
    ]


def test_a_few_moments_are_told_apart() -> None:
    results = [
        unavailable("web01", "09:14"),
        unavailable("db1", "08:02"),
        unavailable("db2", "08:02"),
    ]
    assert exceptions(results) == [
        "2 unavailable: db[1-2] (offline since 2020-01-01 08:02)",
        "unavailable: web01 (offline since 2020-01-01 09:14)",
    ]


def test_many_moments_are_a_span() -> None:
    results = [unavailable(f"db{minute:02}", f"08:{minute:02}") for minute in range(31)]
    assert exceptions(results) == [
        "31 unavailable: db[00-30] (offline since 2020-01-01 08:00 to 2020-01-01 08:30)"
    ]


def test_however_many_reasons_there_are_the_lines_stay_few() -> None:
    results = [
        *(NodeResult(node=f"n{i:02}", state="nacked", reason=f"reason {i}") for i in range(40)),
        NodeResult(node="web1", state="failed", exit_code=1),
        *(NodeResult(node=f"db{i}", state="unavailable", reason="offline") for i in range(3)),
    ]
    lines = exceptions(results)
    assert len(lines) <= MOST_LINES + 1
    assert lines[0].startswith("30 nacked: n[10-39] (30 more reasons; -V tells all)")
    assert lines[1] == "3 unavailable: db[0-2] (offline)"
    assert lines[-1] == "failed: web1 (exit code 1)"
    assert len(exceptions(results, whole=True)) == 42


def test_what_mends_it_stands_below() -> None:
    reason = (
        "its entry 'x' is not in force: signed by carol with SHA256:A, which is not an editor's key"
    )
    assert exceptions([NodeResult(node="a", state="nacked", reason=reason)]) == [
        f"nacked: a ({reason})",
        "  pushcli whitelist editors add carol",
    ]
