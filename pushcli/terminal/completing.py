"""What kind of thing a parameter names, so that the Tab key can offer what there is of it.

What there is, the room `completion` knows; `App.candidates` asks it. The kinds: `node`, `nodes`
(an expression of names), `job`, `command` (that a job can name), `entry` (of a whitelist),
`user`, `client`, `group`, `token`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pushcli.terminal.context import App

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Offer = Callable[[click.Context, click.Parameter, str], list["CompletionItem"]]


class Completed:
    """For types of parameters: `completes` is the kind of what they name."""

    completes = ""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list["CompletionItem"]:
        """What there is that begins like this."""
        return _asked(self.completes, ctx, incomplete)


def completes(*kinds: str) -> Offer:
    """For `shell_complete=`: one kind, or one for each value of a parameter with several."""

    def offer(
        ctx: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list["CompletionItem"]:
        # An expression of nodes comes any number of times.
        given = (
            ()
            if parameter.nargs != -1 or kinds == ("nodes",)
            else (ctx.params.get(str(parameter.name)) or ())
        )
        return _asked(kinds[len(given)], ctx, incomplete) if len(given) < len(kinds) else []

    return offer


def _asked(kind: str, ctx: click.Context, incomplete: str) -> list["CompletionItem"]:
    app = ctx.find_object(App)
    return [] if app is None else app.candidates(app, kind, ctx, incomplete)
