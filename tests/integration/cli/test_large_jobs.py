"""Jobs on 2,000 nodes: what the program prints, and what it asks for."""

import itertools

from pushcli.exit_status import ExitStatus
from tests.integration.cli.done_job import part, show_done
from tests.integration.cli.program import Home
from tests.integration.cli.responder import JOB_ID, Responder, job, json_answer

NODES = [f"web{number:04}" for number in range(2_000)]
STATES = "web[0000-1999]"


def test_three_outputs_of_2000_nodes_are_three_requests_and_few_lines(
    home: Home, responder: Responder
) -> None:
    outputs = [b"".join(b"%c line %d\n" % (kind, n) for n in range(8)) for kind in b"abc"]
    parts = [
        part(node, b"", outputs[2], state="failed", exit_code=1)
        if number % 50 == 0
        else part(node, outputs[number % 2])
        for number, node in enumerate(NODES)
    ]
    show_done(responder, parts, *outputs)
    uri = f"{responder.url}/pushy/jobs/{JOB_ID}"
    responder.say("POST", "jobs", json_answer({"uri": uri}, 201))
    result = home.run("job", "start", "--capture", "uptime", STATES)
    assert result.status == ExitStatus.NODE_FAILED
    lines = result.stdout.splitlines()
    assert len(lines) < 40
    assert "Complete with failures.  1960 succeeded, 40 failed" in lines
    paths = [path for _, path, _ in responder.requests]
    assert sum("/output/" in path for path in paths) == 3
    assert len(paths) < 12, paths


def test_a_failed_vote_of_2000_nodes_explains_31_in_few_lines(
    home: Home, responder: Responder
) -> None:
    missing = NODES[::60][:31]
    reasons = itertools.cycle([
        ("unavailable", "offline since 2026-11-27T08:02:00Z"),
        ("unavailable", "offline since 2026-11-27T09:14:00Z"),
        ("nacked", "not on the whitelist: the nearest entry is 'chef_client'"),
        ("nacked", "busy with job 77aa01c2 of bob"),
        ("nacked", "No space left on device"),
        ("nacked", "there is no user 'deploy'"),
        ("nacked", "there is no directory '/srv/app'"),
    ])  # fmt: skip
    absent = {node: next(reasons) for node in missing}
    parts: list[dict[str, object]] = [
        {"node": node, "state": absent[node][0], "reason": absent[node][1]}
        if node in absent
        else {"node": node, "state": "was_ready"}
        for node in NODES
    ]
    show_done(responder, parts)
    by_state: dict[str, list[str]] = {}
    for each in parts:
        by_state.setdefault(str(each["state"]), []).append(str(each["node"]))
    uri = f"{responder.url}/pushy/jobs/{JOB_ID}"
    responder.say("POST", "jobs", json_answer({"uri": uri}, 201))
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(job("quorum_failed", nodes=by_state)))
    result = home.run("job", "start", "uptime", STATES)
    assert result.status == ExitStatus.QUORUM_FAILED
    lines = result.stdout.splitlines()
    assert len(lines) < 15
    assert "Quorum failed: 2000 needed, 1969 ready. Nothing was run." in lines
    assert all(len(line) < 160 for line in lines)
    healthy = next(node for node in NODES if node not in absent)
    assert healthy not in result.stdout
