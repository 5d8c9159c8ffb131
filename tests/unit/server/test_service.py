"""The server's unit, as its directory and settings want it."""

from pathlib import Path

import msgspec
import pytest

from pushcli.errors import ConfigError
from pushcli_server.service import require_reachable, service
from pushcli_server.settings import Settings


def lines(directory: str, **settings: object) -> list[str]:
    """Of the unit for this server."""
    config = msgspec.structs.replace(Settings(), **settings)
    program = ["/opt/pushcli/bin/pushcli"]
    return service(Path(directory), config, program, is_made=True).unit.splitlines()


def test_systemd_makes_a_directory_below_var_lib() -> None:
    unit = lines("/var/lib/push/main")
    assert "StateDirectory=push/main" in unit
    assert "ReadWritePaths=" in unit
    start = "ExecStart=/opt/pushcli/bin/pushcli server start --stand-by --dir /var/lib/push/main"
    assert start in unit


def test_only_a_servers_directory_is_given_to_its_user() -> None:
    place, program = Path("/srv"), ["/opt/pushcli/bin/pushcli"]
    assert service(place, Settings(), program, is_made=False).directory is None
    assert service(place, Settings(), program, is_made=True).directory == place


def test_any_other_directory_may_be_written() -> None:
    unit = lines("/srv/a b", log_file="/var/log/push/log")
    assert not [line for line in unit if line.startswith("StateDirectory")]
    assert 'ReadWritePaths="/srv/a b" /var/log/push' in unit


@pytest.mark.parametrize("file", ["log", "logs/log", "/srv/x/log"])
def test_a_log_in_the_servers_directory_needs_no_more(file: str) -> None:
    assert "ReadWritePaths=/srv/x" in lines("/srv/x", log_file=file)


def test_low_ports_need_the_right_to_them_alone() -> None:
    assert "CapabilityBoundingSet=" in lines("/var/lib/x")
    unit = lines("/var/lib/x", api_port=443)
    assert "CapabilityBoundingSet=CAP_NET_BIND_SERVICE" in unit
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in unit


def test_homes_and_temporary_files_are_out_of_its_reach() -> None:
    require_reachable(Path("/opt/pushcli/bin/pushcli"), Path("/var/lib/x"))
    with pytest.raises(ConfigError, match="does not see /root"):
        require_reachable(Path("/var/lib/x"), Path("/root/venv/bin/pushcli"))
