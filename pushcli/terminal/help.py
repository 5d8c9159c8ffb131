"""Help that begins with what is a command's own: shared options stand in sections behind it."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

OPTIONS, OUTPUT, CONNECTION = "Options", "Output options", "Connection options"
_ORDER = (OPTIONS, OUTPUT, CONNECTION)


class SharedOption(click.Option):
    """An option that many commands have.

    Args:
        section: the title under which help shows it, `OUTPUT` or `CONNECTION`.
    """

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def sections(
    command: click.Command, context: click.Context
) -> Mapping[str, Sequence[tuple[str, str]]]:
    """The options, each with its help, by section in the order of the help; none is empty."""
    found: dict[str, list[tuple[str, str]]] = {title: [] for title in _ORDER}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and isinstance(parameter, click.Option):
            found[getattr(parameter, "section", OPTIONS)].append(record)
    return {title: records for title, records in found.items() if records}


def write_sections(
    command: click.Command, context: click.Context, formatter: click.HelpFormatter
) -> None:
    """The options of a command, to its help."""
    for title, records in sections(command, context).items():
        with formatter.section(title):
            formatter.write_dl(records)


def help_of(command: click.Command, context: click.Context, path: Sequence[str]) -> str:
    """The help of the command that a path leads to from `command`.

    Raises:
        click.UsageError: there is none of this name; near misses are named.
    """
    if not path:
        return command.get_help(context)
    if not isinstance(command, click.Group):
        raise click.UsageError(f"{context.command_path} has no commands of its own", context)
    name, found, _ = command.resolve_command(context, list(path))
    assert found is not None  # noqa: S101 - what is missing was raised
    return help_of(found, click.Context(found, info_name=name, parent=context), path[1:])
