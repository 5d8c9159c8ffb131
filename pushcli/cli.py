"""The root command. `pushcli --help` imports no other: their names and help stand here.

A new command group: a module under `commands/`, and a row in `COMMANDS`.
"""

import click

from pushcli import __version__
from pushcli.terminal.command_groups import Lazy, LazyGroup
from pushcli.terminal.options import operator_options

COMMANDS = {
    "job": Lazy("pushcli.commands.job.group:job", "Start, watch, abort and read jobs."),
    "node": Lazy(
        "pushcli.commands.node.group:node",
        "See which nodes there are, let new ones enroll, delete others.",
    ),
    "whitelist": Lazy(
        "pushcli.commands.whitelist.whitelist:whitelist",
        "See and change what may run on the nodes.",
    ),
    "user": Lazy(
        "pushcli.commands.user:user", "Manage users: the people who run jobs, and their keys."
    ),
    "client": Lazy(
        "pushcli.commands.client:client", "Manage clients: nodes and programs, and their keys."
    ),
    "group": Lazy(
        "pushcli.commands.group:group",
        "Manage groups: who may start jobs, look at them, administer.",
    ),
    "audit": Lazy(
        "pushcli.commands.audit:audit",
        "Show who changed what: identities, keys, groups, nodes, whitelists.",
    ),
    "sandbox": Lazy(
        "pushcli.commands.sandbox:sandbox", "Start a throw-away server with agents on this machine."
    ),
    "server": Lazy("pushcli.commands.server:server", "Set up and run a server."),
    "agent": Lazy("pushcli.commands.agent:agent", "Enroll and run the agent of a node."),
    "config": Lazy(
        "pushcli.commands.config:config", "Add profiles: servers, and who you are there."
    ),
    "migrate": Lazy(
        "pushcli.commands.migrate:migrate",
        "Take over settings, history and identities of Chef's programs.",
    ),
    "completion": Lazy(
        "pushcli.commands.completion:completion", "Print or install shell completion."
    ),
    "help": Lazy("pushcli.commands.help:help_", "Show the help of a command."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit statuses, formats and examples: docs/cli.md.",
)
@click.version_option(
    __version__, "-v", "--version", prog_name="pushcli", message="%(prog)s %(version)s"
)
@operator_options
def root() -> None:
    """Run whitelisted commands on many nodes at once, if a quorum of them is ready."""
