"""`pushcli job retry`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pushcli.commands.job.content import content_of, require_one_reader
from pushcli.commands.job.start_options import start_options
from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.terminal.command_groups import Command
from pushcli.terminal.completing import completes
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import JobId

if TYPE_CHECKING:
    from pushcli.jobs import interrupts, named, starting
    from pushcli.jobs import retry as retry_job
    from pushcli.jobs.starting import How
    from pushcli.nodes import of_job, selection
    from pushcli.terminal import folding
else:
    folding = LazyModule("pushcli.terminal.folding")
    interrupts = LazyModule("pushcli.jobs.interrupts")
    named = LazyModule("pushcli.jobs.named")
    of_job = LazyModule("pushcli.nodes.of_job")
    retry_job = LazyModule("pushcli.jobs.retry")
    selection = LazyModule("pushcli.nodes.selection")
    starting = LazyModule("pushcli.jobs.starting")


@click.command(cls=Command)
@click.argument("job_id", metavar="ID", type=JobId())
@click.argument("nodes", metavar="[NODE...]", nargs=-1, shell_complete=completes("nodes"))
@click.option(
    "--failed", "choices", flag_value="failed", multiple=True, help="Where it failed or crashed."
)
@click.option(
    "--nacked", "choices", flag_value="nacked", multiple=True, help="Nodes that refused it."
)
@click.option(
    "--unavailable",
    "choices",
    flag_value="unavailable",
    multiple=True,
    help="Nodes that were not there.",
)
@click.option(
    "--timed-out", "choices", flag_value="timed_out", multiple=True, help="Where it took too long."
)
@click.option("--all", "choices", flag_value="all", multiple=True, help="All its nodes.")
@start_options
@click.option(
    "--file", type=click.Path(path_type=Path), metavar="FILE", help="Another file to send along."
)
@operator_options
@click.pass_obj
def retry(
    app: App, *, job_id: str, nodes: tuple[str, ...], choices: tuple[str, ...], how: "How",
    file: Path | None,
) -> ExitStatus:  # fmt: skip
    """Start the job ID again, the same, where it did not succeed, or on these NODEs of it.

    Command, timeout, user, directory, environment, file and --capture are those of the job.
    Several of the options that choose nodes mean the nodes of all of them. `job rerun` is the
    same.

    \b
    Examples:
      pushcli job retry @last
      pushcli job retry 8f593bb9 --failed 'web*'
    """
    how.apply(app)
    how.require_sense(app)
    choice = selection.Selection(expressions=nodes)
    require_one_reader(names=choice.reads_stdin, files={"--file": file})
    with interrupts.before_start(app):
        content = content_of(app, file)
        run, again_on = retry_job.again(app, named.job_id(app, job_id), choices, file=content)
        if nodes:
            again_on = of_job.among(app, nodes, again_on)
    app.remark(f"Again on {len(again_on)}: {folding.fold(map(escape_line, again_on))}")
    return starting.carry_out(app, run, again_on, how)
