"""`pushcli completion`: print or install shell completion."""

from pathlib import Path

import click

from pushcli.errors import UsageError
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import output_options

_SHELLS = ("bash", "zsh", "fish")
_AFTERWARDS = {
    "bash": "New shells complete pushcli if the package bash-completion is installed; "
    "otherwise put `source {path}` into ~/.bashrc.",
    "zsh": "Put `fpath=({directory} $fpath)` into ~/.zshrc, before compinit runs.",
    "fish": "New shells complete pushcli.",
}


@click.group(cls=CommandGroup)
@output_options
def completion() -> None:
    """Print or install shell completion."""


def _print_command(shell: str) -> None:
    @completion.command(shell, help=f"Print the script for {shell}.")
    @output_options
    @click.pass_obj
    def print_script(app: App) -> None:
        from pushcli.completion.scripts import script  # noqa: PLC0415

        text = script(shell)
        if app.is_text:
            app.write(text)
        else:
            app.emit({"shell": shell, "script": text})


for _shell in _SHELLS:
    _print_command(_shell)


@completion.command()
@click.argument("shell", type=click.Choice(_SHELLS), required=False)
@output_options
@click.pass_obj
def install(app: App, shell: str | None) -> None:
    """Install the script for SHELL (default: yours) where the shell looks for it.

    \b
    Example:
      pushcli completion install zsh
    """
    from pushcli.completion import scripts as completions  # noqa: PLC0415

    chosen = shell or _login_shell(app)
    path = completions.install_path(chosen, app.env, Path.home())
    completions.install(chosen, path)
    if app.is_text:
        app.print(f"Installed {path}")
    else:
        app.emit({"shell": chosen, "file": str(path)})
    app.note(_AFTERWARDS[chosen].format(path=path, directory=path.parent))


def _login_shell(app: App) -> str:
    shell = Path(app.env.get("SHELL", "")).name
    if shell not in _SHELLS:
        raise UsageError(
            "cannot tell which shell you use", "name it: pushcli completion install bash|zsh|fish"
        )
    return shell
