"""The server as a service of systemd: its unit, for one server's directory and settings."""

from collections.abc import Sequence
from pathlib import Path

from pushcli.errors import ConfigError
from pushcli.systemd import install
from pushcli.systemd.install import Service
from pushcli.systemd.unit import command_line, paths, with_values
from pushcli_server.settings import Settings

NAME = "pushcli-server"
USER = "pushcli"
_STATE = Path("/var/lib")
"""Where systemd makes a service's directory, and gives it to its user."""
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108
"""What the unit keeps from the service."""
_PRIVILEGED = 1024


def service(directory: Path, config: Settings, program: Sequence[str], *, is_made: bool) -> Service:
    """What is to be installed for the server in this directory.

    Args:
        directory: absolute.
        program: starts pushcli.
        is_made: whether the directory is a server's: no other is given to its user.

    Raises:
        ConfigError: a path that cannot stand in a unit.
    """
    package = Path(__file__).parent
    return Service(
        name=NAME,
        unit=unit(install.shipped(package, f"{NAME}.service"), directory, config, program),
        user=USER,
        users=install.shipped(package, f"{NAME}.sysusers"),
        directory=directory if is_made else None,
    )


def unit(text: str, directory: Path, config: Settings, program: Sequence[str]) -> str:
    """The unit's text for this server.

    Raises:
        ConfigError: a path that cannot stand in a unit.
    """
    start = [*program, "server", "start", "--stand-by", "--dir", str(directory)]
    values: dict[str, str | None] = {"ExecStart": command_line(start)}
    writable = []
    if is_made_by_systemd(directory):
        values["StateDirectory"] = paths([str(directory.relative_to(_STATE))])
    else:
        values |= {"StateDirectory": None, "StateDirectoryMode": None}
        writable.append(directory)
    log = (directory / config.log_file).parent
    if config.log_file and log != directory and directory not in log.parents:
        writable.append(log)
    values["ReadWritePaths"] = paths([str(path) for path in writable])
    ports = (config.api_port, config.command_port, config.server_heartbeat_port)
    if min(ports) < _PRIVILEGED:
        # The first of the two says what may be had, the second has it.
        values["CapabilityBoundingSet"] = values["AmbientCapabilities"] = "CAP_NET_BIND_SERVICE"
    return with_values(text, values)


def is_made_by_systemd(directory: Path) -> bool:
    """Whether systemd makes this directory, and gives it to the service's user."""
    return _STATE in directory.parents


def require_reachable(*needed: Path) -> None:
    """The unit keeps homes and temporary files from the service.

    Raises:
        ConfigError: one of these is there.
    """
    for path in needed:
        for hidden in _HIDDEN:
            if hidden in (path, *path.parents):
                raise ConfigError(
                    f"{path} cannot be used by a service: it does not see {hidden}",
                    "put it below /var/lib, /opt or /srv",
                )
