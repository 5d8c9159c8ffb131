"""`pushcli job output`: what the commands of a job wrote."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pushcli.commands.target_options import exclude_option, with_status_option
from pushcli.errors import UsageError
from pushcli.exit_status import ExitStatus
from pushcli.jobs.output import CHANNELS
from pushcli.terminal.command_groups import Command
from pushcli.terminal.completing import completes
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import JobId

if TYPE_CHECKING:
    from pushcli.jobs import follow as following
    from pushcli.jobs import grep as grepping
    from pushcli.jobs import named, show_difference, show_output
    from pushcli.nodes import of_job
else:
    following = LazyModule("pushcli.jobs.follow")
    grepping = LazyModule("pushcli.jobs.grep")
    named = LazyModule("pushcli.jobs.named")
    of_job = LazyModule("pushcli.nodes.of_job")
    show_difference = LazyModule("pushcli.jobs.show_difference")
    show_output = LazyModule("pushcli.jobs.show_output")


@click.command(cls=Command)
@click.argument("job_id", metavar="ID", type=JobId())
@click.argument("nodes", metavar="[NODE...]", nargs=-1, shell_complete=completes("nodes"))
@exclude_option
@with_status_option()
@click.option(
    "--channel",
    type=click.Choice([*CHANNELS, "both"]),
    help="Output to print (default: stdout of a single NODE, else both).",
)
@click.option("--grep", metavar="PATTERN", help="Only lines that match this expression of RE2.")
@click.option("-i", "--ignore-case", is_flag=True, help="With --grep: ignore case.")
@click.option(
    "--diff", is_flag=True, help="Compare what the nodes wrote with what most of them wrote."
)
@click.option(
    "--outdir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write it to files instead, DIR/NODE/stdout and DIR/NODE/stderr.",
)
@click.option(
    "--raw", is_flag=True, help="Print the bytes as they are, control characters included."
)
@click.option(
    "--follow", is_flag=True, help="Print it line by line, as it is written, until the job is over."
)
@operator_options
@click.pass_obj
def output(
    app: App, *, job_id: str, nodes: tuple[str, ...], exclude: tuple[str, ...],
    with_status: tuple[str, ...] | None, channel: str | None, grep: str | None, ignore_case: bool,
    diff: bool, outdir: Path | None, raw: bool, follow: bool,
) -> ExitStatus:  # fmt: skip
    """Print what the job ID wrote on the NODEs, or on all.

    All of it is there if the job was started with --capture, else up to 64 KiB of each channel.
    What several of them wrote alike stands once, under their names; what failed comes last.
    With --follow each line stands behind its node: `web01 | ...`, or `web01 ! ...` of stderr.
    A NODE is a name, a set, a glob, @FILE or -, and means nodes of this job.

    \b
    Examples:
      pushcli job output @last --follow
      pushcli job output 8f593bb9 web01 --channel stderr
      pushcli job output @last 'web*' --with-status failed --grep 'no space' -i
      pushcli job output @last --diff
    """
    _require_sense(app, outdir, raw=raw, follow=follow, diff=diff)
    if diff and grep is not None:
        raise UsageError("--diff compares all lines", "leave out --grep")
    if ignore_case and grep is None:
        raise UsageError("--ignore-case is about --grep", "give --grep PATTERN too")
    matcher = None if grep is None else grepping.Grep(grep, ignore_case=ignore_case)
    job = show_output.find_job(app, named.job_id(app, job_id))
    choice = of_job.Choice(expressions=nodes, exclude=exclude, with_status=with_status or ())
    chosen = [] if choice.is_empty else of_job.chosen(app, choice, job.id, job.nodes)
    is_plain = outdir is None and matcher is None and not (diff or follow)
    if is_plain and choice.is_one_name and channel != "both":
        show_output.show_one(app, job, chosen[0], channel or "stdout", raw=raw)
        return ExitStatus.OK
    channels = CHANNELS if channel in {None, "both"} else (channel,)
    wanted = show_output.Wanted(job=job, nodes=chosen, channels=channels, grep=matcher)
    if diff:
        return show_difference.show_difference(app, wanted)
    if follow:
        show_output.follow_output(app, wanted)
    elif outdir is not None:
        show_output.save_output(app, wanted, outdir)
    else:
        show_output.show_output(app, wanted, raw=raw)
    return ExitStatus.OK


def _require_sense(app: App, outdir: Path | None, *, raw: bool, follow: bool, diff: bool) -> None:
    """Refuse options that exclude each other.

    Raises:
        UsageError: some do.
    """
    given = {"--raw": raw, "--outdir": outdir is not None, "--follow": follow, "--diff": diff}
    flags = [flag for flag, is_given in given.items() if is_given]
    if len(flags) > 1:
        raise UsageError(f"{' and '.join(flags)} exclude each other", "give one of them")
    if follow:
        following.require_lines(app)
    if raw and not app.is_text:
        raise UsageError("--raw has no format", f"leave out --raw or -F {app.options.format}")
