"""`pushcli job`: start, watch, abort and read jobs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pushcli.commands import job_finding as finding
from pushcli.commands.job_output import output
from pushcli.commands.start_options import start_options
from pushcli.commands.target_options import target_options
from pushcli.errors import UsageError
from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.jobs.interrupts import before_start
from pushcli.jobs.starting import How, carry_out
from pushcli.nodes.of_job import among
from pushcli.nodes.selection import Selection, select
from pushcli.protocol.run import DEFAULT_TIMEOUT, RunSpec
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.completing import completes
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.lazily import lazy_module
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import JobId, Reason, Seconds

if TYPE_CHECKING:
    from pushcli.jobs import (
        freezing,
        job_request,
        named,
        secret_variables,
    )
    from pushcli.jobs import retry as retry_job
else:
    freezing = lazy_module("pushcli.jobs.freezing")
    job_request = lazy_module("pushcli.jobs.job_request")
    named = lazy_module("pushcli.jobs.named")
    retry_job = lazy_module("pushcli.jobs.retry")
    secret_variables = lazy_module("pushcli.jobs.secret_variables")


@click.group(cls=CommandGroup, aliases={"rerun": "retry"})
@operator_options
def job() -> None:
    """Start, watch, abort and read jobs."""


@job.command()
@click.argument("command", shell_complete=completes("command"))
@target_options(may_be_unknown=True)
@start_options
@click.option(
    "--timeout",
    type=Seconds(zero=False),
    default=DEFAULT_TIMEOUT,
    help=f"Time that the command may run: 90, 2m, 1h30m (default: {DEFAULT_TIMEOUT:g} seconds).",
)
@click.option(
    "--capture/--no-capture",
    default=None,
    help="Keep and show all that the command writes, or nothing (default: some, of failures).",
)
@click.option(
    "--env",
    "variables",
    metavar="NAME=VALUE",
    multiple=True,
    help="A variable of the command's environment; may be repeated.",
)
@click.option("--with-env", metavar="JSON", help='The same as JSON: {"NAME": "value"}.')
@click.option(
    "--secret-env",
    "secrets",
    metavar="NAME",
    multiple=True,
    help="A variable from your environment, or asked for, that nobody is shown.",
)
@click.option("--in-dir", metavar="DIR", help="Directory on the node to run the command in.")
@click.option("--as-user", metavar="USER", help="User on the node to run the command as.")
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to send along (-: standard input); its path is in CHEF_PUSH_JOB_FILE.",
)
@click.option(
    "--stdin",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What the command reads, if its entry allows it (-: standard input).",
)
@operator_options
@click.pass_obj
def start(
    app: App, *, command: str, selection: Selection, how: How, timeout: float,
    capture: bool | None, variables: tuple[str, ...], with_env: str | None, in_dir: str | None,
    as_user: str | None, file: Path | None, stdin: Path | None, secrets: tuple[str, ...],
) -> ExitStatus:  # fmt: skip
    """Run COMMAND, which must be on the nodes' whitelists, on the NODEs.

    The nodes vote first; the command runs on those that are ready if there are enough for
    the quorum. The exit status tells how the job ended. A NODE is a name, a set, a glob, @FILE
    or - for standard input; `,` joins them, `!` takes away, `&` keeps what both have.

    \b
    Examples:
      pushcli job start chef-client web01 web02 web03
      pushcli job start -q 80% --capture uptime 'web[01-20]!web07' db1
      pushcli job start uptime 'web*' -x @broken.txt --limit 10%
      pushcli job start chef-client -s 'role:web AND chef_environment:prod'
    """
    if how.follow and capture is False:
        raise UsageError("--follow prints what --no-capture keeps away", "leave out one of them")
    how.apply(app)
    env = job_request.environment(with_env, variables)
    reads = selection.reads_stdin or str(file) == job_request.STDIN
    with before_start(app):
        content = _content(app, file, is_read=selection.reads_stdin)
        nodes = select(app, selection, must_exist=True)
        secret_env = secret_variables.read_secrets(app, secrets, env or ())
        read = _content(app, stdin, is_read=reads, option="--stdin")
    run = RunSpec(
        command=command,
        run_timeout=timeout,
        user=as_user,
        dir=in_dir,
        env=env,
        file=content,
        stdin=read,
        capture=bool(capture),
        default_capture=capture is None,
        # A variable under another name is one that the command does not find.
        exact_env=bool(env or secret_env),
        secret_env=secret_env,
    )
    return carry_out(app, run, nodes, how, everything=selection.everything)


@job.command()
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
    app: App, *, job_id: str, nodes: tuple[str, ...], choices: tuple[str, ...], how: How,
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
    selection = Selection(expressions=nodes)
    with before_start(app):
        content = _content(app, file, is_read=selection.reads_stdin)
        run, of_job = retry_job.again(app, named.job_id(app, job_id), choices, file=content)
        if nodes:
            of_job = among(app, nodes, of_job)
    app.remark(f"Again on {len(of_job)}: {fold(map(escape_line, of_job))}")
    return carry_out(app, run, of_job, how)


def _content(app: App, file: Path | None, *, is_read: bool, option: str = "--file") -> str | None:
    """The content of `--file`, or of what the option is called.

    Args:
        is_read: whether something else comes from standard input.

    Raises:
        UsageError: so would the file, or it cannot be read.
    """
    if file is None:
        return None
    if str(file) == job_request.STDIN and is_read:
        raise UsageError("standard input was asked for twice", f"name a file: {option} FILE")
    return job_request.read_file(file, app.stdin, option=option)


job.add_command(finding.watch)
job.add_command(finding.wait)
job.add_command(finding.status)
job.add_command(finding.list_)


job.add_command(output)
job.add_command(finding.abort)


@job.command()
@click.option("--reason", required=True, type=Reason(), help="Why, for whoever starts a job.")
@operator_options
@click.pass_obj
def freeze(app: App, reason: str) -> None:
    """Let no job of the organization start; those that run go on. For administrators.

    It holds, also over restarts of the server, until `pushcli job unfreeze`.

    \b
    Example:
      pushcli job freeze --reason 'storage is down, ask ann'
    """
    freezing.freeze(app, reason)


@job.command()
@operator_options
@click.pass_obj
def unfreeze(app: App) -> None:
    """Let jobs start again. For administrators.

    \b
    Example:
      pushcli job unfreeze
    """
    freezing.unfreeze(app)
