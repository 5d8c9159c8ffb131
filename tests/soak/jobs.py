"""Jobs on nodes that stay: what each comes to is known before."""

import random
from collections.abc import Sequence
from typing import Any

from tests.soak.world import World
from tests.support.feed_reader import FeedReader

BIG = 4000
"""Lines of a real node's large output."""
FOR_EVER = "until:9999999999"
"""What a simulated node runs until it is aborted."""
WHITELIST = {
    "true": "true",
    "distinct": 'echo "$CHEF_PUSH_NODE_NAME $CHEF_PUSH_JOB_ID"',
    "big": f'yes "$CHEF_PUSH_NODE_NAME $CHEF_PUSH_JOB_ID" | head -n {BIG}; echo end >&2',
    "fails": "echo failing; exit 3",
    "slow": "echo begun; sleep 3; echo ended",
    "sleep": "sleep 1000",
}
"""Of real nodes."""


def plain(world: World, chance: random.Random) -> None:
    """On a few nodes, real and simulated ones; they write something or nothing."""
    count, reals = chance.choice([1, 1, 1, 2, 5, 20]), chance.choice([0, 0, 0, 1])
    with world.simulated.some(count) as simulated, world.real.some(reals) as real:
        captured = chance.random() < 0.5
        more = {"capture_output": True} if captured else {}
        nodes = [*simulated, *real]
        job = world.post("distinct", nodes, **more)
        done(world, job, {"succeeded": nodes})
        if captured:
            node = chance.choice(nodes)
            wrote = of_distinct(job, node, is_real=node in real)
            require_output(world, job, node, wrote)


def everywhere(world: World, chance: random.Random) -> None:
    """On as many as can be had at once."""
    del chance
    with world.simulated.some(world.simulated.size // 2) as simulated:
        job = world.post("distinct", simulated, capture_output=True)
        done(world, job, {"succeeded": simulated})


def large(world: World, chance: random.Random) -> None:
    """Output that lies in files."""
    with world.real.some(chance.choice([1, 2])) as nodes:
        job = world.post("big", nodes, capture_output=True)
        done(world, job, {"succeeded": nodes})
        for node in nodes:
            require_output(world, job, node, f"{node} {job}\n".encode() * BIG)


def failed(world: World, chance: random.Random) -> None:
    """A command that fails, or none: it is not on the whitelist."""
    with world.real.some(2) as nodes:
        if chance.random() < 0.5:
            done(world, world.post("fails", nodes), {"failed": nodes})
        else:
            job = world.post(f"unknown {chance.random()}", nodes)
            done(world, job, {"nacked": nodes}, status="quorum_failed")


def aborted(world: World, chance: random.Random) -> None:
    """A job that somebody aborts while it runs."""
    is_real = chance.random() < 0.3
    pool = world.real if is_real else world.simulated
    with pool.some(1 if is_real else chance.choice([1, 5, 50])) as nodes:
        job = world.post("sleep" if is_real else FOR_EVER, nodes)
        world.until(lambda: world.job(job)["nodes"].get("running"), f"job {job} runs")
        world.expect(200, "POST", f"pushy/jobs/{job}/abort", {})
        ended = world.until_over(job)
        world.done[f"jobs {ended['status']}"] += 1
        states = {state for state, names in ended["nodes"].items() if names}
        assert (ended["status"], states) == ("aborted", {"aborted"}), ended
        world.until_each_available(nodes)


def half_read(world: World, chance: random.Random) -> None:
    """Readers of feeds that leave in the middle, some of them silent until then."""
    profile = world.fleet.profile
    with world.simulated.some(20) as nodes:
        readers = [FeedReader(profile, "job_status_feed")]
        job = world.post("distinct", nodes, capture_output=True)
        for path in (f"job_status_feed/{job}", f"jobs/{job}/output_feed"):
            reader = FeedReader(profile, path)
            if reader.status == 200 and chance.random() < 0.5:
                reader.event()
            readers.append(reader)
        done(world, job, {"succeeded": nodes})
    for reader in readers:
        reader.close()
    FeedReader.opened.clear()
    world.done["readers that left"] += len(readers)


KINDS = (*[plain] * 24, *[large] * 2, *[failed] * 2, *[aborted] * 3, *[half_read] * 2, everywhere)
"""How often each comes."""


def some_job(world: World, chance: random.Random) -> None:
    """One of them."""
    chance.choice(KINDS)(world, chance)


def done(
    world: World, job: str, expected: dict[str, Sequence[str]], *, status: str = "complete",
) -> None:  # fmt: skip
    """The job ends as it must.

    Args:
        expected: its nodes, by their states.
    """
    world.follow(job)
    ended: dict[str, Any] = world.until_over(job)
    world.done[f"jobs {ended['status']}"] += 1
    found = {state: sorted(nodes) for state, nodes in ended["nodes"].items() if nodes}
    wanted = {state: sorted(nodes) for state, nodes in expected.items() if nodes}
    if (ended["status"], found) != (status, wanted):
        parts = world.expect(200, "GET", f"pushy/jobs/{job}/nodes")
        reasons = {part["reason"] for part in parts if part.get("reason")}
        raise AssertionError(
            f"job {job} ({ended['command']}) is {ended['status']}: {_shortened(found)}, "
            f"not {status}: {_shortened(wanted)}; {'; '.join(sorted(reasons))}"
        )


def of_distinct(job: str, node: str, *, is_real: bool) -> bytes:
    """What `distinct` writes on this node."""
    if is_real:
        return f"{node} {job}\n".encode()
    return f"{node} {job}\n".ljust(1024, ".").encode()


def require_output(world: World, job: str, node: str, wrote: bytes) -> None:
    """What was captured is what was written; or it is old enough to be deleted already."""
    answer = world.ask(
        "GET", f"pushy/jobs/{job}/output/{node}/stdout", Accept="application/octet-stream"
    )
    if answer.status == 404 and b"deleted" in answer.body:
        return
    assert (answer.status, answer.body) == (200, wrote), (
        f"job {job}: {len(answer.body)} bytes of output of {node}, status {answer.status}, "
        f"not {len(wrote)}"
    )


def _shortened(states: dict[str, list[str]]) -> str:
    return ", ".join(f"{len(n)} {state} ({n[0]}, ...)" for state, n in states.items())
