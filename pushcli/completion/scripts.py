"""The completion scripts for the shells.

`python -m pushcli.completion.scripts DIR` writes the files that the project ships in
`completions/`. They ask the program (`answer`), and leave to it what has to be quoted.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from pushcli.errors import ConfigError

FILES = {"bash": "pushcli.bash", "zsh": "_pushcli", "fish": "pushcli.fish"}
"""The shells, and the name of the script for each."""

_BASH = r"""_pushcli_completion() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case ${line%%,*} in
            plain) COMPREPLY+=("${line#*,}") ;;
            part) COMPREPLY+=("${line#*,}"); compopt -o nospace ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
        esac
    done < <(
        _PUSHCLI_COMPLETE=bash_line _PUSHCLI_LINE="${COMP_LINE:0:COMP_POINT}" \
            _PUSHCLI_AFTER="${COMP_LINE:COMP_POINT}" _PUSHCLI_BREAKS="$COMP_WORDBREAKS" \
            "${1/#\~/$HOME}" 2>/dev/null
    )
}

complete -o nosort -F _pushcli_completion pushcli
"""

_ZSH = r"""#compdef pushcli

_pushcli_completion() {
    local -a plain described parts
    local kind value note files dirs
    (( $+commands[pushcli] )) || return 1

    while IFS= read -r kind && IFS= read -r value && IFS= read -r note; do
        case $kind in
            plain)
                if [[ -n $note ]]; then
                    value=${value//\\/\\\\}
                    described+=("${value//:/\\:}:$note")
                else
                    plain+=("$value")
                fi
                ;;
            part) parts+=("$value") ;;
            dir) dirs=1 ;;
            file) files=1 ;;
        esac
    done < <(
        _PUSHCLI_COMPLETE=zsh_words _PUSHCLI_AFTER="${(F)${(@Q)words[CURRENT+1,-1]}}" \
            pushcli "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null
    )

    if [[ -n $files$dirs ]]; then
        [[ $PREFIX == --*=* ]] && compset -P '*='
        if [[ -n $files ]]; then _path_files -f; else _path_files -/; fi
    fi
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#parts )) && compadd -U -V unsorted -S '' -a parts
    return 0
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # autoload from fpath, call function directly
    _pushcli_completion "$@"
else
    # eval/source/. command, register function for later
    compdef _pushcli_completion pushcli
fi
"""

_FISH = r"""function _pushcli_completion
    set -l before (commandline -opc)
    set -lx _PUSHCLI_COMPLETE fish_words
    set -lx _PUSHCLI_AFTER (commandline -op | string collect)
    set -l current (commandline -ct | string collect --allow-empty)
    for line in (pushcli $before[2..-1] $current 2>/dev/null)
        set -l parts (string split -m 1 "," -- $line)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain part
                printf '%s\n' $parts[2]
        end
    end
end

complete --no-files --keep-order --command pushcli --arguments "(_pushcli_completion)"
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str) -> str:
    """The script that defines completion in a shell; ends with a newline."""
    if shell not in _SCRIPTS:
        raise ValueError(f"no completion for {shell}")
    return _SCRIPTS[shell]


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
