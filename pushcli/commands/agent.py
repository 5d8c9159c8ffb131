"""`pushcli agent`: enroll and run the agent of a node."""

import os
import sys
from pathlib import Path

import click

from pushcli import __version__
from pushcli.context import App
from pushcli.groups import CommandGroup
from pushcli.params import NodeName

_FILE = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)
_dir_option = click.option(
    "--dir",
    "directory",
    type=_DIRECTORY,
    metavar="DIR",
    help="The agent's directory (default: $PUSHCLI_AGENT_DIR, else /var/lib/pushcli/agent "
    "for root, ~/.pushcli/agent otherwise).",
)


@click.group(cls=CommandGroup)
def agent() -> None:
    """Enroll and run the agent of a node."""


@agent.command()
@click.option("--server", required=True, metavar="URL", help="With its /organizations/ORG.")
@click.option(
    "--validator",
    "validator_key",
    required=True,
    type=_FILE,
    metavar="KEYFILE",
    help="The key that may register nodes.",
)
@click.option("--node-name", required=True, type=NodeName(), metavar="NAME", help="Of this node.")
@click.option(
    "--validator-name", metavar="NAME", help="Whose key that is (default: ORG-validator)."
)
@_dir_option
@click.option("--ca-file", type=_FILE, metavar="FILE", help="CAs that prove the server (PEM).")
@click.option(
    "--fingerprint", metavar="SHA256:...", help="Of the server's certificate, to be pinned."
)
@click.pass_obj
def enroll(
    app: App,
    *,
    server: str,
    validator_key: Path,
    node_name: str,
    validator_name: str | None,
    directory: Path | None,
    ca_file: Path | None,
    fingerprint: str | None,
) -> None:
    """Make this node's key, register it, and write the agent's configuration.

    The private key never leaves the node.

    \b
    Example:
      pushcli agent enroll --node-name web01 --validator acme-validator.pem \\
        --server https://push.example.com:10003/organizations/acme \\
        --fingerprint SHA256:AA:BB:...
    """
    from pushcli_agent import config  # noqa: PLC0415 - costs time that `--help` need not take
    from pushcli_agent.enroll import Enrolment, enroll  # noqa: PLC0415

    settings = enroll(
        Enrolment(
            server_url=server,
            node_name=node_name,
            validator_key=validator_key,
            validator_name=validator_name,
            directory=config.directory(directory, app.env),
            ca_file=ca_file,
            fingerprint=fingerprint,
        )
    )
    app.print(f"{node_name} is enrolled; its configuration is {settings}")


@agent.command()
@click.option("-c", "--config", "config_file", type=_FILE, metavar="FILE", help="agent.toml.")
@_dir_option
@click.option("-k", "--client-key", type=_FILE, metavar="FILE", help="The node's key.")
@click.option("-l", "--log_level", metavar="LEVEL", help="debug, info, warn, error or fatal.")
@click.option("-L", "--logfile", type=_FILE, metavar="FILE", help="Instead of standard error.")
@click.option("-N", "--node-name", type=NodeName(), metavar="NAME", help="Of this node.")
@click.option("-S", "--server", metavar="URL", help="With its /organizations/ORG.")
@click.option("-d", "--file_dir", type=_DIRECTORY, metavar="DIR", help="For the files of jobs.")
@click.version_option(
    __version__, "-v", "--version", prog_name="pushcli", message="%(prog)s %(version)s"
)
@click.pass_obj
def start(
    app: App,
    *,
    config_file: Path | None,
    directory: Path | None,
    client_key: Path | None,
    log_level: str | None,
    logfile: Path | None,
    node_name: str | None,
    server: str | None,
    file_dir: Path | None,
) -> None:
    """Run the agent in the foreground until SIGTERM; running jobs outlive it.

    SIGUSR1 makes it read agent.toml and fetch its configuration again, SIGHUP reopen its
    log.

    \b
    Examples:
      pushcli agent start
      pushcli agent start -c /etc/pushcli/agent.toml -l debug
    """
    from pushcli_agent import config  # noqa: PLC0415

    file = config_file or config.directory(directory, app.env) / config.FILE
    given = {
        "config": file.absolute(),
        "client_key": client_key and client_key.absolute(),
        "log_level": log_level,
        "log_location": logfile and logfile.absolute(),
        "node_name": node_name,
        "chef_server_url": server,
        "file_dir": file_dir and file_dir.absolute(),
    }
    options = [f"--{key}={value}" for key, value in given.items() if value is not None]
    # This process becomes the agent: what click needs would stay in the memory of each node.
    command = [sys.executable, "-P", "-m", "pushcli_agent.main", *options]
    os.execve(sys.executable, command, dict(app.env))  # noqa: S606 - there is no shell in it
