"""The completion scripts for the shells, as Click makes them.

`python -m pushcli.terminal.completions DIR` writes the files that the project ships in
`completions/`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from click.shell_completion import ShellComplete, get_completion_class

from pushcli.cli import root
from pushcli.errors import ConfigError

FILES = {"bash": "pushcli.bash", "zsh": "_pushcli", "fish": "pushcli.fish"}
"""The shells, and the name of the script for each."""
VARIABLE = "_PUSHCLI_COMPLETE"
"""How the scripts ask the program, in its environment."""


def script(shell: str) -> str:
    """The script that defines completion in a shell; ends with a newline."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ValueError(f"no completion for {shell}")
    # The base class's method: bash's own would first run a bash to see its version.
    text = ShellComplete.source(kind(root, {}, "pushcli", VARIABLE)).rstrip("\n") + "\n"
    # A description may have commas; only the first one ends the type.
    return text.replace('(string split "," $completion)', '(string split -m 1 "," $completion)')


def write_all(directory: Path) -> None:
    """Write the scripts of all shells there."""
    for shell, name in FILES.items():
        (directory / name).write_text(script(shell), encoding="utf-8")


def install_path(shell: str, env: Mapping[str, str], home: Path) -> Path:
    """Where the shell looks for a user's completion scripts by itself (zsh: once told)."""
    data = Path(env.get("XDG_DATA_HOME") or home / ".local/share")
    match shell:
        case "bash":
            user_dir = env.get("BASH_COMPLETION_USER_DIR")
            return Path(user_dir or data / "bash-completion") / "completions/pushcli"
        case "zsh":
            return data / "zsh/site-functions/_pushcli"
        case "fish":
            config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
            return config / "fish/completions/pushcli.fish"
        case _:
            raise ValueError(f"no completion for {shell}")


def install(shell: str, path: Path) -> None:
    """Write the script there, over an earlier one.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(script(shell), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}",
            f"print the script with `pushcli completion {shell}` and put it where you like",
        ) from error


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
