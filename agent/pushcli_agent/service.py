"""The agent as a service of systemd: its unit, for one agent's directory."""

from collections.abc import Sequence
from pathlib import Path

from pushcli.systemd import install
from pushcli.systemd.install import Service
from pushcli.systemd.unit import command_line, with_values

NAME = "pushcli-agent"


def service(directory: Path, program: Sequence[str]) -> Service:
    """What is to be installed for the agent in this directory.

    Args:
        directory: absolute.
        program: starts pushcli.

    Raises:
        ConfigError: a path that cannot stand in a unit.
    """
    text = install.shipped(Path(__file__).parent, f"{NAME}.service")
    start = [*program, "agent", "start", "--dir", str(directory)]
    return Service(name=NAME, unit=with_values(text, {"ExecStart": command_line(start)}))
