"""Fleets of real processes for the end-to-end tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet

FAST = {"heartbeat_interval": 250, "voting_timeout": 10}
"""Settings that make waiting short: silence counts as offline after a second."""


def marks(command: str) -> dict[str, object]:
    """An entry whose jobs say which file it is to write to."""
    return {"command_line": command, "env": ["MARKS"]}


WHITELIST = {
    "hello": 'echo "hello from $CHEF_PUSH_NODE_NAME"; echo oops >&2',
    "true": "true",
    "fail": "echo broken; exit 3",
    "environment": {
        "command_line": "echo $A $CHEF_PUSH_JOB_ID; pwd; cat $CHEF_PUSH_JOB_FILE",
        "env": ["A"],
        "dirs": ["/usr"],
    },
    "big": "head -c 300000 /dev/zero | tr '\\0' x; printf '\\377\\376'; echo end >&2",
    "mark": marks('echo run >> "$MARKS"'),
    "slow-mark": marks('echo run >> "$MARKS"; sleep 3; echo end >> "$MARKS"; echo whole'),
    "tree": marks(
        'sh -c "sh -c \\"exec sleep 987\\" & setsid sleep 988 & exec sleep 989" & '
        'echo $$ > "$MARKS"; wait'
    ),
    "sleep": "sleep 60",
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Three agents, shared by the tests of a module that leave them idle."""
    directory = tmp_path_factory.mktemp("fleet")
    with Fleet(directory, ["n1", "n2", "n3"], whitelist=WHITELIST, settings=FAST) as fleet:
        yield fleet


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Fleets of a test's own, taken down after it."""
    with ExitStack() as stack:

        def make(*nodes: str, **settings: object) -> Sandbox:
            fleet = Fleet(tmp_path, nodes, whitelist=WHITELIST, settings={**FAST, **settings})
            return stack.enter_context(fleet)

        yield make
