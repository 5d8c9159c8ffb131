"""Arguments that are not UTF-8: files may have such names, nothing else may.

The interpreter keeps their bytes as lone surrogates, which no request, key or message can hold.
"""

from collections.abc import Iterator
from typing import Any

import click


def require_text(command: click.Command, context: click.Context, arguments: list[str]) -> None:
    """Refuse arguments that are not UTF-8, but for names of files.

    Raises:
        UsageError: one is not.
    """
    if all(map(is_text, arguments)):
        return
    given, rest, _ = command.make_parser(context).parse_args(list(arguments))
    for parameter in command.params:
        texts = [*_texts(given.get(str(parameter.name)))]
        if not isinstance(parameter.type, click.Path) and not all(map(is_text, texts)):
            raise click.BadParameter("not valid UTF-8", ctx=context, param=parameter)
    if not isinstance(command, click.Group) and not all(map(is_text, rest)):
        raise click.UsageError("an argument is not valid UTF-8", ctx=context)


def is_text(argument: str) -> bool:
    """Whether it can be encoded."""
    return not any("\ud800" <= character <= "\udfff" for character in argument)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
