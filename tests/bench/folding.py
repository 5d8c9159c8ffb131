"""Folding what 10,000 nodes wrote, as the end of a job and `job output` show it."""

import io
import random
import time
from collections.abc import Callable
from pathlib import Path

from pushcli.jobs.difference import difference
from pushcli.jobs.folded import print_folded
from pushcli.jobs.grep import Grep
from pushcli.jobs.model import NodeResult
from pushcli.jobs.output import Outputs
from pushcli.terminal.context import App

NODES = 10_000
_LINES = "".join(f"line {number} of what a command wrote\n" for number in range(20))


def results(name: Callable[[int], str]) -> list[NodeResult]:
    """Two per cent failed, in three ways."""
    return [
        NodeResult(node=name(number), state="failed", exit_code=1 + number % 3, stdout_size=1)
        if number % 50 == 0
        else NodeResult(node=name(number), state="succeeded", exit_code=0, stdout_size=1)
        for number in range(NODES)
    ]


def alike(rows: list[NodeResult]) -> dict[str, Outputs]:
    """Three outputs."""
    kinds = [f"{kind}\n{_LINES}".encode() for kind in "abc"]
    return {r.node: {"stdout": kinds[i % 3], "stderr": b""} for i, r in enumerate(rows)}


def distinct(rows: list[NodeResult]) -> dict[str, Outputs]:
    """Each node writes its name."""
    return {r.node: {"stdout": f"{r.node}\n{_LINES}".encode(), "stderr": b""} for r in rows}


def measured(what: str, work: Callable[[], object]) -> None:
    """Print the shortest of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    print(f"{what:<58} {min(times) * 1000:8.0f} ms   aim 2000 ms", flush=True)


def main() -> None:
    """All of it."""
    numbered = results(lambda number: f"web{number:05}.example.com")
    generator = random.Random(1)
    strange = results(lambda number: f"h{generator.getrandbits(64):x}-{number}")
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        app = App(stdout=nowhere, stderr=io.StringIO(), stdin=None, env={})
        for what, rows, outputs in (
            ("three outputs", numbered, alike(numbered)),
            ("each another", numbered, distinct(numbered)),
            ("three outputs, random names", strange, alike(strange)),
            ("each another, random names", strange, distinct(strange)),
        ):

            def fold(rows: list[NodeResult] = rows, outputs: dict[str, Outputs] = outputs) -> None:
                print_folded(app, rows, outputs)

            measured(f"{NODES:,} outputs folded, {what}", fold)
        several = distinct(numbered)

        def compare() -> None:
            difference((node, outputs["stdout"]) for node, outputs in several.items())

        def search() -> None:
            grep = Grep("line 1[0-9]")
            for outputs in several.values():
                grep.only(outputs)

        measured(f"{NODES:,} outputs, each another, compared (--diff)", compare)
        measured(f"{NODES:,} outputs, each another, searched (--grep)", search)


if __name__ == "__main__":
    main()
