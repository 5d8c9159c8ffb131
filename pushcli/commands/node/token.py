"""`pushcli node token`."""

from typing import TYPE_CHECKING

import click

from pushcli.nodes.one_node import OneNode
from pushcli.protocol import limits
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Duration, Name

if TYPE_CHECKING:
    from pushcli.identities import enrolment_tokens
else:
    enrolment_tokens = LazyModule("pushcli.identities.enrolment_tokens")


@click.group(cls=CommandGroup)
@operator_options
def token() -> None:
    """Make tokens for nodes to enroll with, instead of a shared key."""


@token.command()
@click.option(
    "--uses", type=click.IntRange(1, limits.MAX_USES), default=1, show_default=True, metavar="N",
    help="Number of nodes that may enroll with it.",
)  # fmt: skip
@click.option(
    "--expires", type=Duration(longest="30d"), default="1h", show_default=True, metavar="1h",
    help="How long it is valid (at most 30d).",
)  # fmt: skip
@click.option(
    "--node", "name", type=OneNode(), metavar="NAME", help="Only this node may enroll with it."
)
@operator_options
@click.pass_obj
def create(app: App, uses: int, expires: float, name: str | None) -> None:
    """Make a token and print it; it is shown only once.

    \b
    Example:
      pushcli node token create --uses 20 --expires 2h > enroll.token
    """
    enrolment_tokens.create(app, uses=uses, expires_in=expires, node=name)


@token.command("list")
@operator_options
@click.pass_obj
def list_tokens(app: App) -> None:
    """List the tokens that can still be used, by their ids.

    \b
    Example:
      pushcli node token list
    """
    enrolment_tokens.show(app)


@token.command()
@click.argument("token_id", metavar="ID", type=Name("token"))
@operator_options
@click.pass_obj
def delete(app: App, token_id: str) -> None:
    """Delete the token ID; nodes that enrolled with it stay.

    \b
    Example:
      pushcli node token delete 7Qm3
    """
    enrolment_tokens.delete(app, token_id)
