"""`pushcli config`: the profiles on this machine."""

import click

from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Name


@click.group(cls=CommandGroup)
@operator_options
def config() -> None:
    """Add profiles: servers, and who you are there."""


@config.command("add-profile")
@click.argument("name", metavar="[NAME]", type=Name("profile"), required=False)
@click.option("--no-check", is_flag=True, help="Do not ask the server first.")
@operator_options
@click.pass_obj
def add_profile(app: App, name: str | None, no_check: bool) -> None:
    """Add the profile NAME to the credentials file, after trying it; none is overwritten.

    Give --server-url, -u and -k, with --fingerprint or --ca-file; or, on standard input, what
    `user create --print-profile` printed. A key in that goes into a file of its own, which
    only you can read.

    \b
    Examples:
      pushcli config add-profile acme -u bob -k bob.pem \\
        --server-url https://push.example.com:10003/organizations/acme
      pushcli config add-profile < profile.toml
    """
    from pushcli.identities import adding_profile  # noqa: PLC0415 - see `pushcli.cli`

    adding_profile.add(app, name, check=not no_check)
