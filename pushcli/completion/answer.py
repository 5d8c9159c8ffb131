"""Answers the shells' completion scripts, each in its own way."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from pushcli.completion.line import AFTER, UNFINISHED, Word, for_bash, is_plain, split
from pushcli.escape import escape_line
from pushcli.terminal.context import App

LINE = "_PUSHCLI_LINE"
"""In the environment, from bash: the line up to the cursor."""
BREAKS = "_PUSHCLI_BREAKS"
"""Likewise: the characters at which it breaks words for completion."""
_MOST_NOTE = 80
_WORDS = frozenset({"plain", UNFINISHED})
"""Types of what is put on the line; the others say what the shell itself may offer."""


def answer(
    root: click.Command, instruction: str, arguments: Sequence[str], env: Mapping[str, str]
) -> str:
    """What the script is told.

    Args:
        instruction: `bash_line`, `zsh_words` or `fish_words`; `SHELL_complete` is that of a
            script of version 0.1, which quotes nothing.
        arguments: from zsh and fish: the words up to the cursor, the last as typed.
    """
    match instruction:
        case "bash_line":
            words = split(env.get(LINE, ""))
            env = {**env, AFTER: "\n".join(word.text for word in split(env.get(AFTER, "")))}
            items = offered(root, [word.text for word in words[1:]], env)
            return "".join(_for_bash(items, words[-1], env.get(BREAKS, "")))
        case "zsh_words":
            return "".join(_for_zsh(offered(root, arguments, env)))
        case "fish_words":
            current = split(arguments[-1] if arguments else "")[-1].text
            return "".join(_for_fish(offered(root, [*arguments[:-1], current], env)))
        case _:
            return _of_old_script(root, instruction, env)


def offered(
    root: click.Command, words: Sequence[str], env: Mapping[str, str]
) -> list[CompletionItem]:
    """What may stand in the place of the last word, as a whole, safe to be shown."""
    home = env.get("HOME", "")
    *before, typed = words or [""]
    before = [_expanded(word, home) for word in before]
    found = ShellComplete(root, {"obj": _app(env)}, "pushcli", "").get_completions(before, typed)
    option, equals, _ = typed.partition("=")
    start = f"{option}=" if equals and option.startswith("--") else ""
    shown = [item for item in found if item.type not in _WORDS or item.value.isprintable()]
    return [CompletionItem(start + item.value, item.type, _note(item)) for item in shown]


def _app(env: Mapping[str, str]) -> App:
    def known(app: App, kind: str, ctx: click.Context, typed: str) -> list[CompletionItem]:
        # Names of commands and options are offered without what is known of a server.
        from pushcli.completion.candidates import candidates  # noqa: PLC0415

        return candidates(app, kind, ctx, typed)

    return App(env=env, candidates=known)


def _expanded(word: str, home: str) -> str:
    return str(Path(home) / word[2:]) if home and word.startswith("~/") else word


def _note(item: CompletionItem) -> str:
    note = escape_line(item.help or "")
    return note if len(note) <= _MOST_NOTE else f"{note[: _MOST_NOTE - 1]}…"


def _for_bash(items: Sequence[CompletionItem], word: Word, breaks: str) -> Iterator[str]:
    for item in items:
        text = for_bash(item.value, word, breaks) if item.type in _WORDS else item.value
        if text is not None:
            yield f"{item.type},{text}\n"


def _for_zsh(items: Sequence[CompletionItem]) -> Iterator[str]:
    for item in items:
        yield f"{item.type}\n{item.value}\n{item.help}\n"


def _for_fish(items: Sequence[CompletionItem]) -> Iterator[str]:
    for item in items:
        yield (
            f"{item.type},{item.value}\t{item.help}\n"
            if item.help
            else (f"{item.type},{item.value}\n")
        )


def _of_old_script(root: click.Command, instruction: str, env: Mapping[str, str]) -> str:
    """As click does it, without what would have to be quoted."""
    shell, _, what = instruction.partition("_")
    kind = get_completion_class(shell)
    if kind is None or what != "complete":
        return ""

    class Plain(kind):  # type: ignore[valid-type, misc]
        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
            items: list[CompletionItem] = super().get_completions(args, incomplete)
            return [item for item in items if is_plain(str(item.value))]

    settings: dict[str, Any] = {"obj": _app(env)}
    return f"{Plain(root, settings, 'pushcli', '').complete()}\n"
