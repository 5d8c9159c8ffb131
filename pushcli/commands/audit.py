"""`pushcli audit`: who changed what."""

import click

from pushcli.identities import audit_trail
from pushcli.protocol import limits
from pushcli.terminal.context import App
from pushcli.terminal.options import options_about_users
from pushcli.terminal.params import Moment, Name


@click.command()
@click.option(
    "--since", type=Moment(), metavar="2h|DATE", help="Not older than this, or since this date."
)
@click.option("--user", "actor", type=Name("user"), metavar="NAME", help="What this one did.")
@click.option("--node", type=Name("node"), metavar="NAME", help="What was done to this one.")
@click.option(
    "--limit",
    type=click.IntRange(1, limits.MAX_RECORDS),
    default=100,
    show_default=True,
    metavar="N",
    help="So many records, the newest.",
)
@click.option(
    "--of-server",
    "of_server",
    is_flag=True,
    help="What concerns no organization (superusers only).",
)
@options_about_users
@click.pass_obj
def audit(
    app: App, *, since: float | None, actor: str | None, node: str | None, limit: int,
    of_server: bool,
) -> None:  # fmt: skip
    """Show who changed what: identities, keys, groups, nodes, whitelists.

    \b
    Examples:
      pushcli audit --since 2h
      pushcli audit --since 2026-11-23 --user ann --node web01
    """
    audit_trail.show(app, since=since, user=actor, target=node, limit=limit, of_server=of_server)
