"""`user key` and `client key`: the same commands for both."""

import time
from pathlib import Path

import click

from pushcli.identities import identity_keys
from pushcli.identities.new_key import key_file as new_key_file
from pushcli.terminal.command_groups import CommandGroup
from pushcli.terminal.context import App
from pushcli.terminal.options import operator_options
from pushcli.terminal.params import Duration, Name

KEY_FILE = click.Path(path_type=Path, dir_okay=False)
key_file_option = click.option(
    "--key-file", type=KEY_FILE, metavar="FILE", help="File to write the new private key to."
)
public_key_option = click.option(
    "--public-key",
    type=KEY_FILE,
    metavar="FILE",
    help="Register this public key instead of making a key.",
)
print_profile_option = click.option(
    "--print-profile", is_flag=True, help="Print a profile for `config add-profile`, with the key."
)


def key_group(kind: str) -> click.Group:
    """The group `key` of the users' or the clients' commands."""
    name_argument = click.argument("name", type=Name(kind))

    @click.group("key", cls=CommandGroup, help=f"See and change the keys of a {kind}.")
    @operator_options
    def keys() -> None:
        pass

    @keys.command("list", help=_help("Show the keys of NAME, and when they expire.", kind, "list"))
    @name_argument
    @operator_options
    @click.pass_obj
    def list_(app: App, name: str) -> None:
        identity_keys.show(app, kind, name)

    @keys.command(help=_help(_ADD, kind, "add", "--expires 30d"))
    @name_argument
    @click.option(
        "--key-name",
        type=Name("key"),
        metavar="KEY",
        help="Name of the key (default: from the date).",
    )
    @click.option(
        "--expires",
        type=Duration(),
        metavar="24h",
        help="How long it is valid (default: forever).",
    )
    @key_file_option
    @public_key_option
    @operator_options
    @click.pass_obj
    def add(
        app: App, name: str, key_name: str | None, expires: float | None,
        key_file: Path | None, public_key: Path | None,
    ) -> None:  # fmt: skip
        key_name = key_name or identity_keys.dated_name(time.time())
        file = new_key_file(key_file, public_key, f"{name}-{key_name}.pem")
        identity_keys.add(
            app, kind, name, key_name, file=file, public_key=public_key, expires_in=expires
        )

    @keys.command(
        help=_help(
            "Delete the key KEY of NAME; it stops being valid at once.", kind, "delete", "old"
        )
    )
    @name_argument
    @click.argument("key_name", metavar="KEY", type=Name("key"))
    @operator_options
    @click.pass_obj
    def delete(app: App, name: str, key_name: str) -> None:
        identity_keys.delete(app, kind, name, key_name)

    return keys


_ADD = """Add a key for NAME: a new one, or an existing public key.

A new private key is written to NAME-KEY.pem, which only you can read."""


def _help(text: str, kind: str, command: str, more: str = "") -> str:
    who = "ann" if kind == "user" else "web01"
    return f"{text}\n\n\b\nExample:\n  pushcli {kind} key {command} {who} {more}".rstrip()
