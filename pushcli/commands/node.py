"""`pushcli node`: see which nodes are there, let new ones in, delete others."""

from dataclasses import replace

import click

from pushcli.client import search
from pushcli.commands.target_options import target_options
from pushcli.identities import enrolment_tokens
from pushcli.nodes import node_deletion, node_objects, node_status, pausing
from pushcli.nodes.one_node import OneNode
from pushcli.nodes.selection import Selection, select
from pushcli.protocol import limits
from pushcli.protocol.names import is_query
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Duration, Name, Reason

attributes_option = click.option(
    "-a",
    "--attribute",
    "attributes",
    metavar="PATH",
    multiple=True,
    help="An attribute, such as kernel.release; may be repeated.",
)


@click.group(cls=CommandGroup)
@operator_options
def node() -> None:
    """See which nodes there are, let new ones enroll, delete others."""


@node.command()
@target_options()
@click.option(
    "--not-seen-for", "unseen_for", type=Duration(), metavar="30d",
    help="Only nodes that were not heard of for so long, or never.",
)  # fmt: skip
@click.option(
    "--troubled", is_flag=True,
    help="Only nodes that no job would get, or whose whitelist is wrong.",
)  # fmt: skip
@operator_options
@click.pass_obj
def status(app: App, selection: Selection, unseen_for: float | None, troubled: bool) -> None:
    """Show which of the NODEs, or of all enrolled nodes, can take part in a job.

    A NODE is a name, a set, a glob, @FILE or -, as for `job start`. One with a colon or a space
    is a query, as for `node search`.

    \b
    Examples:
      pushcli node status
      pushcli node status web01 web02 -F json
      pushcli node status 'web[01-20]' 'db*' -x db3
      pushcli node status 'role:web AND platform:debian'
      pushcli node status --not-seen-for 30d
      pushcli node status --troubled
    """
    if selection.is_empty:
        node_status.show(app, (), unseen_for=unseen_for, troubled=troubled)
        return
    names = (_found(app, text) for text in selection.expressions)
    expressions = tuple(name for some in names for name in some)
    chosen = select(app, replace(selection.or_everything, expressions=expressions))
    node_status.show(app, chosen, unseen_for=unseen_for, troubled=troubled)


def _found(app: App, text: str) -> list[str]:
    return search.names(app.client, text) if is_query(text) else [text]


@node.command("list")
@operator_options
@click.pass_obj
def list_(app: App) -> None:
    """List the names of all nodes.

    \b
    Example:
      pushcli node list
    """
    node_objects.show_list(app)


@node.command()
@click.argument("name", metavar="NODE", type=OneNode())
@attributes_option
@operator_options
@click.pass_obj
def show(app: App, name: str, attributes: tuple[str, ...]) -> None:
    """Show what is known about NODE; everything with -F json.

    \b
    Examples:
      pushcli node show web01
      pushcli node show web01 -a kernel.release -a tags
    """
    node_objects.show(app, name, attributes)


@node.command("search")
@click.argument("query")
@attributes_option
@click.option("-i", "--id-only", is_flag=True, help="Only the names, one per line.")
@operator_options
@click.pass_obj
def search_(app: App, query: str, attributes: tuple[str, ...], id_only: bool) -> None:
    """Find the nodes that match QUERY, in Chef's search syntax.

    \b
    Examples:
      pushcli node search 'role:web* AND chef_environment:prod'
      pushcli node search 'platform:debian' -a fqdn -a kernel.release
      pushcli node search '*:*' -i
    """
    node_objects.show_found(app, query, attributes, only_names=id_only)


@node.command("delete")
@target_options()
@operator_options
@click.pass_obj
def delete_(app: App, selection: Selection) -> None:
    """Delete each NODE: its object, client and keys, and what is known of its state.

    Its agent is disconnected at once and cannot return; what it runs is given up. Finished
    jobs keep its name. A node that enrolls under this name later is a new one.

    \b
    Examples:
      pushcli node delete web01
      pushcli node delete 'web[01-20]' -y
    """
    node_deletion.delete(app, select(app, selection, with_object=True))


@node.command()
@target_options()
@click.option("--reason", required=True, type=Reason(), help="Why, for whoever starts a job.")
@click.option(
    "--for", "seconds", required=True, type=Duration(longest="366d"), metavar="2h",
    help="How long (at most 366d); then they take part again.",
)  # fmt: skip
@operator_options
@click.pass_obj
def pause(app: App, selection: Selection, reason: str, seconds: float) -> None:
    """Keep each NODE out of new jobs for a while: it votes no, with that reason.

    What it runs goes on. A pause holds over restarts and ends by itself; a second one takes
    the place of the first.

    \b
    Example:
      pushcli node pause 'web[01-20]' --reason 'disks replaced' --for 2h
    """
    pausing.pause(app, select(app, selection), reason=reason, seconds=seconds)


@node.command()
@target_options()
@operator_options
@click.pass_obj
def resume(app: App, selection: Selection) -> None:
    """Let each NODE that is paused take part in jobs again.

    \b
    Example:
      pushcli node resume 'web[01-20]'
    """
    pausing.resume(app, select(app, selection))


@node.group(cls=CommandGroup)
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
