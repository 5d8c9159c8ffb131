"""`pushcli help`: the same as `--help` behind a command, for those who type it in front."""

import click

from pushcli.terminal.command_groups import Command
from pushcli.terminal.context import App
from pushcli.terminal.help import help_of
from pushcli.terminal.options import output_options


@click.command("help", cls=Command)
@click.argument("path", metavar="[COMMAND]...", nargs=-1)
@output_options
@click.pass_context
def help_(context: click.Context, path: tuple[str, ...]) -> None:
    """Show the help of a command.

    \b
    Example:
      pushcli help job start
    """
    app = context.ensure_object(App)
    root = context.find_root()
    text = help_of(root.command, root, path)
    if app.is_text:
        app.print(text)
    else:
        app.emit({"command": " ".join((str(root.info_name), *path)), "help": text})
