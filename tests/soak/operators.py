"""What operators do beside jobs, and strangers: edits, commands of the command line, refusals."""

import random
import subprocess
import time
import uuid
from collections.abc import Collection
from pathlib import Path

import msgspec

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ORG
from pushcli.whitelist import statements
from pushcli.whitelist.statements import Change
from tests.soak.jobs import done, of_distinct, require_output
from tests.soak.world import World
from tests.support import key_files
from tests.support.identities import KEYS
from tests.support.waiting import patient

ENTRIES = [f"edited{number}" for number in range(5)]
_LATE = "its agent has not confirmed it yet"
"""A busy machine may say so: the server waits no longer with its answer."""


def edit(world: World, chance: random.Random) -> None:
    """An entry comes, runs, and goes."""
    name, text = chance.choice(ENTRIES), f"word {chance.random()}"
    with world.real.some(2) as real, world.simulated.some(20) as simulated:
        late = _edit(world, [*real, *simulated], name, f"echo {text}")
        if not late.intersection(real):
            job = world.post(name, real, capture_output=True)
            done(world, job, {"succeeded": real})
            require_output(world, job, real[0], f"{text}\n".encode())
        _edit(world, [*real, *simulated], name, None)


def _edit(world: World, nodes: list[str], name: str, value: str | None) -> set[str]:
    profile = world.fleet.profile
    signed = statements.sign(
        key_files.read(Path(profile.client_key)), org=ORG, nodes=nodes,
        changes=[Change(name, value)], version=statements.next_version(time.time()),
        signer=profile.client_name,
    )  # fmt: skip
    change = {"name": name, **({"removed": True} if value is None else {"value": value})}
    body = {"nodes": nodes, "changes": [change], **msgspec.to_builtins(signed)}
    answer = world.expect(200, "POST", "pushy/whitelist", body)
    late = answer.get("not_in_force", {})
    assert set(late.values()) <= {_LATE}, answer
    world.done["whitelist edits"] += 1
    world.done["nodes that confirmed an edit late"] += len(late)
    return set(late)


def command_line(world: World, chance: random.Random) -> None:
    """A few commands, each of them a process."""
    with world.real.some(1) as real, world.simulated.some(5) as simulated:
        name = chance.choice(ENTRIES)
        if _edit_by_hand(world, "add", name, "echo by hand", *real, *simulated):
            _run(world, "job", "start", name, *real)
            world.done["jobs complete"] += 1
        job = _run(world, "job", "start", "--capture", "distinct", *real, *simulated)
        started = job.partition("Job ID: ")[2].split()[0]
        wrote = _run(world, "job", "output", started, real[0])
        expected = of_distinct(started, real[0], is_real=True).decode()
        assert wrote == expected, f"`job output` of {started} printed {wrote!r}, not {expected!r}"
        _edit_by_hand(world, "remove", name, *real, *simulated)
        world.done["jobs complete"] += 1
    _run(world, *chance.choice([("job", "list"), ("node", "status"), ("job", "status", started)]))


def _edit_by_hand(world: World, *arguments: str) -> bool:
    """Whether it is in force already."""
    world.done["whitelist edits"] += 1
    ran = _ran(world, "whitelist", *arguments, statuses={ExitStatus.OK, ExitStatus.NOT_IN_FORCE})
    return ran.returncode == ExitStatus.OK


def _run(world: World, *arguments: str) -> str:
    return _ran(world, *arguments, statuses={ExitStatus.OK}).stdout


def _ran(
    world: World, *arguments: str, statuses: Collection[int]
) -> "subprocess.CompletedProcess[str]":
    world.done["processes of the command line"] += 1
    ran = world.fleet.cli(*arguments, timeout=patient(60))
    assert ran.returncode in statuses, (
        f"`pushcli {' '.join(arguments[:3])} ...`: status {ran.returncode}, "
        f"{ran.stderr.strip()[-300:]}"
    )
    return ran


def strangers(world: World, chance: random.Random) -> None:
    """Names that nobody has, and such as come and go: what is kept of them must go, too."""
    name = f"stranger-{uuid.UUID(int=chance.getrandbits(128)).hex[:12]}"
    world.expect(401, "GET", "pushy/node_states", user=name)
    world.expect(404, "GET", f"pushy/jobs/{uuid.UUID(int=chance.getrandbits(128)).hex}")
    world.expect(404, "GET", f"nodes/{name}")
    client = {"name": name, "public_key": keys.public_pem(KEYS[0])}
    world.expect(201, "POST", "clients", client)
    world.expect(200, "GET", f"clients/{name}")
    world.expect(200, "DELETE", f"clients/{name}")
    token = world.expect(201, "POST", "tokens", {"expires_in": 3600, "node": name})
    world.expect(200, "DELETE", f"tokens/{token['id']}")
    world.done["strangers"] += 1
