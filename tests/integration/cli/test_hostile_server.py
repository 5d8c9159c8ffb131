"""A server, or what nodes sent through it, cannot steer the operator's terminal."""

import pytest

from tests.integration.cli.program import Home
from tests.integration.cli.responder import EXTENSIONS, JOB_ID, Answer, Responder, job, json_answer

EVIL = "\x1b[2J\x9b31m\r\x07\u202e\nforged\x7f[red]"
"""Clears the screen, colours, rings, turns the line around, begins a new one."""


@pytest.fixture
def hostile(responder: Responder) -> Responder:
    """It says evil things wherever there is room for text."""
    evil = job(
        "complete", command=EVIL, user=EVIL, dir=EVIL, env={EVIL: EVIL}, capture_output=True,
        created_at=EVIL, updated_at=EVIL, nodes={EVIL: [EVIL], "failed": [EVIL]},
    )  # fmt: skip
    results = [{"node": EVIL, "state": EVIL, "reason": EVIL, "stdout_size": 0}]
    states = [{"node_name": EVIL, "availability": EVIL, "status": EVIL}]
    running = {**evil, "status": "running"}
    responder.accept_job(running, evil)
    responder.say("GET", "jobs", json_answer([evil]))
    responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer(results))
    responder.say("POST", f"jobs/{JOB_ID}/abort", json_answer({"status": EVIL}))
    responder.say("GET", "node_states", json_answer(states))
    output = Answer(200, EVIL.encode() + b"\xff", "application/octet-stream", EXTENSIONS)
    responder.say("GET", f"jobs/{JOB_ID}/output/a/stdout", output)
    responder.say("GET", "node_states/a", json_answer({"error": [EVIL]}, 400))
    return responder


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "start", "uptime", "a"),
        ("job", "start", "uptime", "a", "-F", "json"),
        ("job", "start", "uptime", "a", "-F", "yaml"),
        ("job", "status", JOB_ID),
        ("job", "status", JOB_ID, "-V"),
        ("job", "list"),
        ("job", "output", JOB_ID, "a"),
        ("job", "abort", JOB_ID),
        ("node", "status"),
        ("node", "status", "a"),
    ],
)
def test_nothing_but_newlines_and_tabs_reaches_the_terminal(
    home: Home, arguments: tuple[str, ...]
) -> None:
    result = home.run(*arguments)
    written = result.stdout + result.stderr
    assert [c for c in written if c not in "\n\t" and not c.isprintable()] == []
    assert written
    if "output" not in arguments:
        assert "\nforged" not in written
