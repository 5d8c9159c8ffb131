"""`pushcli sandbox`: try it, on this machine, for as long as you like."""

import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from pushcli.errors import StartError
from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.options import output_options

if TYPE_CHECKING:
    from pushcli.sandbox.sandbox import Sandbox
    from pushcli.sandbox.several_servers import SeveralServers

_LOOK = 1.0
"""Seconds between two looks whether a server has ended."""
_PAUSE = 10.0
"""Seconds until one that does not start is tried again."""
SAMPLES = {
    "uptime": "uptime",
    "disk": "df -h /",
    "slow": "for i in 1 2 3 4 5 6 7 8 9 10; do echo step $i; sleep 1; done",
    "fail": "echo this fails >&2; exit 3",
}


@click.command(cls=Command)
@click.option(
    "--nodes",
    type=click.IntRange(1, 200),
    default=3,
    show_default=True,
    help="How many agents to start.",
)
@click.option(
    "--down",
    type=click.IntRange(0, 200),
    default=0,
    show_default=True,
    help="How many more nodes to enroll and leave down.",
)
@click.option(
    "--servers",
    type=click.IntRange(1, 5),
    default=1,
    show_default=True,
    help="How many servers: one works, others stand ready (needs PostgreSQL).",
)
@click.option("--run", "command", metavar="COMMAND", help="Run one job on all of them, then exit.")
@output_options
@click.pass_obj
def sandbox(app: App, nodes: int, down: int, servers: int, command: str | None) -> int:
    """Start a throw-away server with agents on this machine.

    It runs until Ctrl-C, under the profile `sandbox`, and leaves nothing behind.

    \b
    Examples:
      pushcli sandbox --nodes 5
      pushcli sandbox --servers 2
      pushcli sandbox --run 'echo hello; uptime'
    """
    from pushcli.sandbox import profile  # noqa: PLC0415

    credentials = Path.home() / ".pushcli" / "credentials"
    temporary = Path(tempfile.gettempdir())
    for line in profile.clear(credentials, temporary):
        app.note(line)
    if command is None:
        profile.require_free(credentials, temporary)
    names = [f"node{number}" for number in range(1, nodes + 1)]
    dead = [f"node{number}" for number in range(nodes + 1, nodes + down + 1)]
    whitelist = SAMPLES if command is None else {command: command, **SAMPLES}
    with tempfile.TemporaryDirectory(prefix=profile.PREFIX) as directory, _ending():
        profile.own(Path(directory))
        several = "a server" if servers == 1 else f"{servers} servers, their database"
        app.note(f"Starting {several} and {nodes} agents ...")
        fleet = _fleet(Path(directory), names, whitelist, servers)
        try:
            with fleet:
                fleet.enroll(dead)
                app.note(f"Ready: {fold(names)}")
                if dead:
                    app.note(f"Down: {fold(dead)}")
                if command is not None:
                    return _run(app, fleet, command, names)
                _keep(app, fleet)
        finally:
            app.note("Everything is shut down.")
    return ExitStatus.OK


def _fleet(directory: Path, names: list[str], whitelist: dict[str, str], servers: int) -> "Sandbox":
    from pushcli.sandbox.sandbox import Sandbox  # noqa: PLC0415 - slow to import
    from pushcli.sandbox.several_servers import SeveralServers  # noqa: PLC0415

    if servers == 1:
        return Sandbox(directory, names, whitelist=whitelist)
    return SeveralServers(directory, names, servers=servers, whitelist=whitelist)


def _run(app: App, fleet: "Sandbox", command: str, names: list[str]) -> int:
    asked = [] if app.is_text else ["-F", str(app.options.format)]
    arguments = ["job", "start", "--capture", *asked, command, *names]
    app.note(f"$ pushcli {shlex.join(arguments)}")
    done = subprocess.run(fleet.command(*arguments), env=fleet.environment, check=False)
    return done.returncode


def _keep(app: App, fleet: "Sandbox") -> None:
    from pushcli.sandbox.profile import lent_profile  # noqa: PLC0415
    from pushcli.sandbox.several_servers import SeveralServers  # noqa: PLC0415

    with lent_profile(Path.home() / ".pushcli" / "credentials", fleet.profile):
        program = _program()
        app.print("In another terminal:")
        app.print(f"  {program} --profile sandbox node status")
        app.print(f"  {program} --profile sandbox job start --capture uptime -s 'name:node*'")
        key = shlex.quote(str(fleet.superuser_key))
        app.print("What only a superuser may (user create and delete, audit --of-server):")
        app.print(f"  {program} --profile sandbox user create bob -u pivotal -k {key}")
        if isinstance(fleet, SeveralServers):
            directory = shlex.quote(str(fleet.server_directory))
            app.print(
                "Kill the server that works: another goes on, and agents find it within 30 s:"
            )
            app.print(f"  kill -9 {fleet.pid('server')}")
            app.print("Whether one works, and how many stand ready:")
            app.print(f"  {program} server list --dir {directory}")
        app.print(f"On the whitelist: {', '.join(SAMPLES)}.  Ctrl-C ends it.")
        try:
            if isinstance(fleet, SeveralServers):
                _watch(app, fleet)
            signal.pause()
        except KeyboardInterrupt:
            app.note("Shutting down ...")


def _watch(app: App, fleet: "SeveralServers") -> NoReturn:
    """A server that is killed is started again, as a unit would, and stands ready."""
    while True:
        app.sleep(_LOOK)
        failed = False
        for one in fleet.start_ended():
            if failed := isinstance(one, StartError):
                app.note(f"A server ended, and does not start again: {escape_line(str(one))}")
            else:
                app.note(f"Server {one.number} ended; it was started again, and stands ready.")
        for server in fleet.newly_working():
            app.note(f"Server {server.number} works now: kill -9 {fleet.pid(server.name)}")
        if failed:
            app.sleep(_PAUSE)


def _program() -> str:
    """How another terminal calls us: by our path where `pushcli` is not found, or is another."""
    own = Path(sys.argv[0])
    found = shutil.which("pushcli")
    if own.name != "pushcli" or (found and Path(found).resolve() == own.resolve()):
        return "pushcli"
    return shlex.quote(str(own.absolute()))


@contextmanager
def _ending() -> Iterator[None]:
    """SIGTERM and a closed terminal end it as Ctrl-C does: nothing may be left behind.

    An impatient second signal changes nothing: shutting down goes on. Signals that whoever
    started us wants to be ignored (`nohup`) stay ignored.
    """
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
