"""The group `pushcli job`; its help imports none of its commands: names and help stand here."""

import click

from pushcli.terminal.command_groups import Lazy, LazyGroup
from pushcli.terminal.options import operator_options

COMMANDS = {
    "start": Lazy(
        "pushcli.commands.job.start:start",
        "Run COMMAND, which must be on the nodes' whitelists, on the NODEs.",
    ),
    "retry": Lazy(
        "pushcli.commands.job.retry:retry",
        "Start the job ID again, the same, where it did not succeed, or on these NODEs of it.",
    ),
    "watch": Lazy(
        "pushcli.commands.job.watch:watch",
        "Watch the job ID to its end, as if it had been started here; without an ID your last one.",
    ),
    "wait": Lazy("pushcli.commands.job.wait:wait", "Wait, in silence, until the jobs ID are over."),
    "status": Lazy(
        "pushcli.commands.job.status:status",
        "Show who started the job ID, how it stands, and what became of its nodes.",
    ),
    "list": Lazy(
        "pushcli.commands.job.listing:list_",
        "List the organization's jobs, newest first, and how they ended.",
    ),
    "output": Lazy(
        "pushcli.commands.job.output:output", "Print what the job ID wrote on the NODEs, or on all."
    ),
    "abort": Lazy(
        "pushcli.commands.job.abort:abort",
        "Abort the jobs ID: their commands are killed on all nodes that still run them.",
    ),
    "freeze": Lazy(
        "pushcli.commands.job.freezing:freeze",
        "Let no job of the organization start; those that run go on.",
    ),
    "unfreeze": Lazy("pushcli.commands.job.freezing:unfreeze", "Let jobs start again."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, aliases={"rerun": "retry"})
@operator_options
def job() -> None:
    """Start, watch, abort and read jobs."""
