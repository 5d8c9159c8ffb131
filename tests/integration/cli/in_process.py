"""The command line in this process, against a Chef Infra Server that a test plays."""

from pathlib import Path

from tests.integration.cli.played_server import URL
from tests.support import in_process
from tests.support.in_process import Said

OLD_SERVER = {
    "Server": "openresty/1.25.3.1",
    "X-Ops-API-Info": "flavor=cs;version=12.0.0;oc_erchef=15.9.38+20240101",
    "X-Ops-Server-API-Version": '{"min_version":"0","max_version":"2","request_version":"0"}',
}
"""Headers of a Chef Infra Server."""


def run(key: Path, *arguments: str) -> Said:
    """`pushcli ARGUMENTS` as the user ann of acme, against a Chef Infra Server that a test plays.

    Raises:
        PushcliError: what the program would tell in one line.
    """
    env = {"PUSHCLI_SERVER_URL": URL, "PUSHCLI_USER": "ann", "PUSHCLI_KEY": str(key)}
    return in_process.run(env, *arguments)
