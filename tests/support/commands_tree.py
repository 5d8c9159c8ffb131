"""Walks all commands that there are."""

from collections.abc import Iterator

import click

from pushcli.cli import root


def all_commands(
    command: click.Command = root, path: tuple[str, ...] = ("pushcli",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command and group with its path, the root first."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from all_commands(child, (*path, name))


def own_flags(command: click.Command) -> Iterator[tuple[click.Option, str]]:
    """Each option with each of its spellings."""
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            for flag in (*parameter.opts, *parameter.secondary_opts):
                yield parameter, flag
