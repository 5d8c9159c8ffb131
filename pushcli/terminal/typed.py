"""The command as it was typed, in a form that can be typed again."""

from collections.abc import Collection, Iterator
from typing import Any

import click

STDIN = "-"


def typed(context: click.Context, *, without: Collection[str] = ()) -> list[str]:
    """The words of the running command, but for options that all commands share.

    A file that was standard input, which cannot be read again, is called FILE.

    Args:
        without: names of parameters that are to be left out.
    """
    words = context.command_path.split()
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if parameter.expose_value and name not in without and source is _GIVEN:
            words += _words(parameter, context.params[name])
    return words


_GIVEN = click.core.ParameterSource.COMMANDLINE


def _words(parameter: click.Parameter, value: Any) -> Iterator[str]:
    if not isinstance(parameter, click.Option):
        yield from map(str, value if isinstance(value, tuple) else (value,))
        return
    flag = max(parameter.opts, key=len)
    if parameter.is_flag:
        if parameter.flag_value in (value if isinstance(value, tuple) else (value,)):
            yield flag
        return
    for each in value if parameter.multiple else (value,):
        text = f"{each:g}" if isinstance(each, float) else str(each)
        yield from (flag, "FILE" if text == STDIN else text)
