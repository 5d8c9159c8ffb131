"""`pushcli job start`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pushcli.commands.job.content import content_of, require_one_reader
from pushcli.commands.job.start_options import start_options
from pushcli.commands.target_options import target_options
from pushcli.errors import UsageError
from pushcli.exit_status import ExitStatus
from pushcli.protocol.limits import DEFAULT_RUN_TIMEOUT
from pushcli.terminal.command_groups import Command
from pushcli.terminal.completing import completes
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Seconds

if TYPE_CHECKING:
    from pushcli.jobs import interrupts, job_request, secret_variables, starting
    from pushcli.jobs.starting import How
    from pushcli.nodes import selection as selecting
    from pushcli.nodes.selection import Selection
    from pushcli.protocol import run
else:
    interrupts = LazyModule("pushcli.jobs.interrupts")
    job_request = LazyModule("pushcli.jobs.job_request")
    run = LazyModule("pushcli.protocol.run")
    secret_variables = LazyModule("pushcli.jobs.secret_variables")
    selecting = LazyModule("pushcli.nodes.selection")
    starting = LazyModule("pushcli.jobs.starting")


@click.command(cls=Command)
@click.argument("command", shell_complete=completes("command"))
@target_options(may_be_unknown=True)
@start_options
@click.option(
    "--timeout",
    type=Seconds(zero=False),
    default=DEFAULT_RUN_TIMEOUT,
    help="Time that the command may run: 90, 2m, 1h30m "
    f"(default: {DEFAULT_RUN_TIMEOUT:g} seconds).",
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
    app: App, *, command: str, selection: "Selection", how: "How", timeout: float,
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
    how.require_sense(app)
    require_one_reader(names=selection.reads_stdin, files={"--file": file, "--stdin": stdin})
    with interrupts.before_start(app):
        content = content_of(app, file)
        nodes = selecting.select(app, selection, must_exist=True)
        secret_env = secret_variables.read_secrets(app, secrets, env or ())
        read = content_of(app, stdin, option="--stdin")
    spec = run.RunSpec(
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
    return starting.carry_out(app, spec, nodes, how, everything=selection.everything)
