"""`pushcli agent`: enroll and run the agent of a node."""

import os
import shlex
import sys
from pathlib import Path

import click

from pushcli import __version__
from pushcli.commands.agent_editors import editors
from pushcli.commands.agent_install import install
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import agent_directory_option, output_options
from pushcli.terminal.params import Duration, NodeName

_FILE = click.Path(path_type=Path, dir_okay=False)
_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.group(cls=CommandGroup)
@output_options
def agent() -> None:
    """Enroll and run the agent of a node."""


agent.add_command(editors)
agent.add_command(install)


@agent.command()
@click.option(
    "--server",
    "servers",
    required=True,
    metavar="URL",
    multiple=True,
    help="URL of the server, including /organizations/ORG; may be repeated for one that has "
    "several: where one cannot be reached, the agent asks the next.",
)
@click.option(
    "--token",
    metavar="TOKEN",
    help="Token from `pushcli node token create`. Others on this machine can see arguments: "
    "prefer $PUSHCLI_ENROLL_TOKEN or --token-file.",
)
@click.option(
    "--token-file",
    type=_FILE,
    metavar="FILE",
    help="File that holds the token; - is standard input.",
)
@click.option(
    "--validator",
    "validator_key",
    type=_FILE,
    metavar="KEYFILE",
    help="Validator's key to register with, instead of a token.",
)
@click.option(
    "--node-name", required=True, type=NodeName(""), metavar="NAME", help="Name of this node."
)
@click.option(
    "--validator-name",
    metavar="NAME",
    help="Client that the validator's key belongs to (default: ORG-validator).",
)
@agent_directory_option
@click.option(
    "--ca-file", type=_FILE, metavar="FILE", help="CA certificates to verify the server with (PEM)."
)
@click.option(
    "--fingerprint", metavar="SHA256:...", help="Fingerprint of the server's certificate, to pin."
)
@click.option(
    "--trust-editor",
    "trusted",
    metavar="[NAME=]FILE",
    multiple=True,
    help="Public key of an editor of the whitelist; may be repeated. Then only these are "
    "trusted, not those that the server names.",
)
@output_options
@click.pass_obj
def enroll(
    app: App, *, servers: tuple[str, ...], token: str | None, token_file: Path | None,
    validator_key: Path | None, node_name: str, validator_name: str | None,
    directory: Path | None, ca_file: Path | None, fingerprint: str | None,
    trusted: tuple[str, ...],
) -> None:  # fmt: skip
    """Make this node's key, register it, and write the agent's configuration.

    The private key never leaves the node. This needs a token, or a validator's key.

    \b
    Example:
      PUSHCLI_ENROLL_TOKEN=7Qm3.x... pushcli agent enroll --node-name web01 \\
        --server https://push.example.com:10003/organizations/acme \\
        --fingerprint SHA256:AA:BB:...
    """
    from pushcli_agent import config  # noqa: PLC0415 - `--help` need not wait for it
    from pushcli_agent.enrolment import pinned  # noqa: PLC0415 - `--help` need not wait for it
    from pushcli_agent.enrolment.credential import credential  # noqa: PLC0415
    from pushcli_agent.enrolment.enroll import Enrolment, enroll  # noqa: PLC0415

    enrolled = enroll(
        Enrolment(
            server_urls=servers,
            node_name=node_name,
            credential=credential(
                token=token, token_file=token_file, validator_key=validator_key,
                validator_name=validator_name, env=app.env, stdin=app.stdin,
            ),
            directory=config.directory(directory, app.env),
            trusted=pinned.trusted(trusted),
            ca_file=ca_file,
            fingerprint=fingerprint,
        )
    )  # fmt: skip
    if enrolled.missing is not None:
        app.note(
            f"{node_name} has no node object, which whitelists are kept in ({enrolled.missing}): "
            "chef-client makes one at its first run"
        )
    if not app.is_text:
        app.emit(
            {"node_name": node_name, "configuration": str(enrolled.settings),
             "editors": pinned.facts(enrolled.editors)}
        )  # fmt: skip
        return
    app.print(f"{node_name} is enrolled; its configuration is {enrolled.settings}")
    for line in pinned.describe(enrolled.editors, by_server=not trusted):
        app.print(line)
    place = enrolled.settings.parent
    usual = place == config.directory(None, app.env)
    where = "" if usual else f" --dir {shlex.quote(str(place))}"
    app.print(f"Start it: pushcli agent start{where}")


@agent.command()
@agent_directory_option
@click.option(
    "--overlap",
    type=Duration(zero=True),
    metavar="24h",
    default="24h",
    show_default=True,
    help="How long the previous key stays valid; 0 ends it at once.",
)
@output_options
@click.pass_obj
def rotate_key(app: App, directory: Path | None, overlap: float) -> None:
    """Replace this node's key; the agent keeps running and uses the new one.

    A new key is made, registered and tried, then replaces the one in the file. The
    previous one is kept as FILE.old, and expires. If anything fails, the agent's key still works.

    \b
    Example:
      pushcli agent rotate-key --overlap 1h
    """
    from pushcli.identities import own_key  # noqa: PLC0415
    from pushcli_agent import config  # noqa: PLC0415
    from pushcli_agent.enrolment import profile  # noqa: PLC0415

    own = profile.load(config.directory(directory, app.env) / config.FILE)
    own_key.rotate_node_key(app, own, overlap=overlap)


@agent.command()
@click.option("-c", "--config", "config_file", type=_FILE, metavar="FILE", help="agent.toml.")
@agent_directory_option
@click.option("-k", "--client-key", type=_FILE, metavar="FILE", help="Private key of the node.")
@click.option(
    "-l", "--log_level", metavar="LEVEL", help="Log level: debug, info, warn, error or fatal."
)
@click.option(
    "-L", "--logfile", type=_FILE, metavar="FILE", help="Log file, instead of standard error."
)
@click.option("-N", "--node-name", type=NodeName(""), metavar="NAME", help="Name of this node.")
@click.option(
    "-S", "--server", metavar="URL", help="URL of the server, including /organizations/ORG."
)
@click.option(
    "-d", "--file_dir", type=_DIRECTORY, metavar="DIR", help="Directory for the files of jobs."
)
@click.version_option(
    __version__, "-v", "--version", prog_name="pushcli", message="%(prog)s %(version)s"
)
@output_options
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

    SIGUSR1 makes it read agent.toml and fetch its configuration again, SIGHUP makes it
    reopen its log.

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
