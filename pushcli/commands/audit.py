"""`pushcli audit`: who changed what."""

import click

from pushcli.identities import audit_trail
from pushcli.nodes.one_node import OneNode
from pushcli.protocol import limits
from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.options import options_about_users
from pushcli.terminal.params import Moment, Name


@click.command(cls=Command)
@click.option(
    "--since", type=Moment(), metavar="2h|DATE", help="Only records since then: an age or a date."
)
@click.option(
    "--user", "actor", type=Name("user"), metavar="NAME", help="Only what this user or client did."
)
@click.option(
    "--kind",
    type=click.Choice(("user", "client", "node", "server")),
    help="Only what one of this kind did: a user and a client may share a name.",
)
@click.option("--node", type=OneNode(), metavar="NAME", help="Only what was done to this node.")
@click.option(
    "--limit",
    type=click.IntRange(1, limits.MAX_RECORDS),
    default=100,
    show_default=True,
    metavar="N",
    help="At most this many records, the newest.",
)
@click.option(
    "--of-server",
    "of_server",
    is_flag=True,
    help="Records outside of organizations (superusers only).",
)
@options_about_users
@click.pass_obj
def audit(
    app: App, *, since: float | None, actor: str | None, kind: str | None, node: str | None,
    limit: int, of_server: bool,
) -> None:  # fmt: skip
    """Show who changed what: identities, keys, groups, nodes, whitelists.

    \b
    Examples:
      pushcli audit --since 2h
      pushcli audit --since 2026-11-23 --user ann --node web01
    """
    audit_trail.show(
        app, since=since, user=actor, kind=kind, target=node, limit=limit, of_server=of_server
    )
