"""The main screens of a fleet with all kinds of trouble, at 80 and at 140 columns, as they are kept
in `screens/`; some of them are the pictures of docs/. `make screens` renews both.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pyte
import pytest

from pushcli import keys
from pushcli.sandbox.sandbox import ORG, Sandbox
from tests.integration.cli.pictures import masked, named, picture, shown, words_of
from tests.integration.cli.program import Home
from tests.integration.cli.terminal import Terminal, on_terminal
from tests.support.actors import Actor, Part, Stage
from tests.support.fleet import Fleet
from tests.support.waiting import until
from tests.support.writers import Writers, register

pytestmark = pytest.mark.timeout(300)

KEPT = Path(__file__).with_name("screens")
PICTURES = Path(__file__).parents[3] / "docs" / "pictures"
RENEW = "RENEW_SCREENS" in os.environ
PICTURED = 100
"""Columns of a picture."""
WIDTHS = (80, PICTURED, 140)
HEIGHT = 60

WEB = [f"web{number:03d}" for number in range(1, 401)]
DB = [f"db{number:02d}" for number in range(1, 13)]
_UNLISTED = Part(nack="not on the whitelist: 'chef-client'; the nearest entry is 'chef_client'")
_ABSENT = dict.fromkeys(("web017", "web033"), _UNLISTED)
_CHEF = {
    name: Part(lasts=0.1, stdout="Chef Client finished, 0/214 resources updated\n")
    for name in WEB[:190]
} | {
    name: Part(lasts=None, stdout="Chef Client finished, 0/214 resources updated\n")
    for name in WEB[190:]
} | {
    "web042": Part(lasts=0.1, exit_code=3, stderr="disk full\n"),
    "web101": Part(lasts=1.0, exit_code=1, stdout="ERROR: cannot reach the repository\n"),
    "web102": Part(lasts=1.0, exit_code=1, stdout="ERROR: cannot reach the repository\n"),
} | _ABSENT  # fmt: skip
_DEPLOY = _ABSENT | {
    "web118": Part(nack="its entry 'deploy 118' is not in force: signed by carol, who is no editor "
                        "of this node"),
    "web120": Part(nack="no space left on the agent's disk"),
}  # fmt: skip


@dataclass
class Story:
    """A fleet, its operator and the jobs that he started so far."""

    fleet: Sandbox
    stage: Stage
    width: int
    before: set[str]
    ids: list[str] = field(default_factory=list)

    @property
    def operator(self) -> Home:
        """His home."""
        return Home(self.fleet.credentials.parent.parent)

    def run(self, *arguments: str) -> Terminal:
        """A command to its end, on a terminal."""
        with self.on_terminal(*arguments) as terminal:
            terminal.end()
        return terminal

    def on_terminal(self, *arguments: str) -> AbstractContextManager[Terminal]:
        """A command on a terminal."""
        return on_terminal(
            self.operator, *arguments, width=self.width, height=HEIGHT, PUSHCLI_PROFILE="sandbox"
        )

    def note_jobs(self) -> None:
        """Jobs that were started since, the oldest first."""
        jobs = sorted(self.fleet.api.jobs(), key=lambda job: job["created_at"])
        self.ids += [job["id"] for job in jobs if job["id"] not in {*self.before, *self.ids}]

    def compare(self, name: str, screen: pyte.Screen, command: str) -> None:
        """With what is kept; or keep it."""
        self.note_jobs()
        lines = masked([named(line, self.ids) for line in shown(screen)])
        file = KEPT / f"{name}.{self.width}.txt"
        drawn = PICTURES / f"{name}.svg"
        if RENEW:
            KEPT.mkdir(exist_ok=True)
            file.write_text("\n".join(lines) + "\n")
            if self.width == PICTURED:
                PICTURES.mkdir(exist_ok=True)
                drawn.write_text(picture(screen, command, self.ids))
        assert lines == file.read_text().splitlines()
        if self.width == PICTURED:
            assert masked(words_of(drawn)) == lines, "`make screens` renews the pictures"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Stage]]:
    """412 nodes, of which 12 were there and are gone."""
    key, stage = keys.generate(), Stage()
    parts = {"chef-client": _CHEF, "deploy 118": _DEPLOY, "hold": {"web009": Part(lasts=None)}}
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), [], settings={"heartbeat_interval": 1000})
    try:
        fleet.make_server()
        names = [*WEB, *DB]
        register(fleet.server_directory, ORG, names, keys.public_pem(key))
        fleet.start_server()
        actors = [
            Actor(n, ORG, stage, {c: part[n] for c, part in parts.items() if n in part})
            for n in names
        ]
        with Writers(actors, url=fleet.url.partition("/organizations/")[0], key=key):
            fleet.wait_available(names)
            stage.gone = frozenset(DB)
            until(lambda: available(fleet) == set(WEB), "the databases are offline")
            yield fleet, stage
    finally:
        fleet.stop()


@pytest.fixture(scope="module", params=WIDTHS)
def story(played: tuple[Sandbox, Stage], request: pytest.FixtureRequest) -> Story:
    """What he does at this width: the tests are its parts, in their order."""
    fleet, stage = played
    return Story(fleet, stage, request.param, {job["id"] for job in fleet.api.jobs()})


def available(fleet: Sandbox) -> set[str]:
    states = fleet.api.node_states()
    return {state["node_name"] for state in states if state["availability"] == "available"}


def test_a_job_runs_is_interrupted_and_ends(story: Story) -> None:
    story.stage.is_held = True
    start = ("job", "start", "chef-client", "-a", "-q", "90%", "-y", "--capture")
    shown_as = "pushcli job start chef-client --all --quorum 90% --capture"
    with story.on_terminal(*start) as terminal:
        terminal.expect("slowest")
        # The end of a drawing.
        terminal.expect("A\r")
        story.compare("running", terminal.screen, shown_as)
        terminal.child.sendintr()
        terminal.expect("watching?  [a] ")
        story.compare("interrupted", terminal.screen, shown_as)
        terminal.child.send("c\r")
        terminal.expect("Running")
        story.stage.is_held = False
        assert terminal.end() == 1
    story.compare("end", terminal.screen, shown_as)


def test_a_vote_fails(story: Story) -> None:
    story.stage.is_held = True
    story.run("job", "start", "hold", "web009", "-b")
    story.note_jobs()
    until(lambda: story.fleet.api.job(story.ids[-1])["status"] == "running", "web009 is busy")
    failed = story.run("job", "start", "deploy 118", "-a", "-y")
    story.compare("vote", failed.screen, "pushcli job start 'deploy 118' --all")
    assert len(shown(failed.screen)) < 15
    story.stage.is_held = False
    until(lambda: story.fleet.api.job(story.ids[1])["status"] == "complete", "web009 is free")


def test_jobs_and_nodes_are_looked_at(story: Story) -> None:
    story.compare("list", story.run("job", "list", "--max", "3").screen, "pushcli job list")
    first = story.ids[0]
    status = story.run("job", "status", first[:8])
    story.compare("status", status.screen, f"pushcli job status {named(first[:8], story.ids)}")
    output = story.run("job", "output", first[:8])
    story.compare("output", output.screen, f"pushcli job output {named(first[:8], story.ids)}")
    nodes = story.run("node", "status", "--troubled")
    story.compare("nodes", nodes.screen, "pushcli node status --troubled")
