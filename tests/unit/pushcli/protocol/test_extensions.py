"""docs/extensions.md names every extension, every field, and nothing else."""

import re
from pathlib import Path

import msgspec

from pushcli.protocol import extensions, messages
from pushcli_server.rest.errors import BESIDE_CHEF, EXTENSIONS

TEXT = (Path(__file__).parents[4] / "docs" / "extensions.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w-]+)` \| (.*?) \|", TEXT, flags=re.MULTILINE)


def test_the_documented_extensions_are_those_of_the_program() -> None:
    rest = set(BESIDE_CHEF["X-Pushcli-Extensions"].split(","))
    assert {name for name, _ in ROWS} == extensions.ALL | rest
    assert f"extensions={extensions.render(extensions.ALL)}" in TEXT
    assert EXTENSIONS["X-Pushcli-Extensions"] in TEXT


def test_every_field_that_old_peers_do_not_know_is_documented() -> None:
    old_fields = {
        "sequence", "timestamp", "node", "org", "incarnation_id", "client", "protocol_version",
        "job_id", "job_state", "stdout", "stderr", "server", "command", "capture", "user", "dir",
        "env", "file",
    }  # fmt: skip
    for message in (*messages.NodeMessage.__args__, *messages.CommandMessage.__args__):
        for field in msgspec.structs.fields(message):
            if field.name not in old_fields:
                assert f"`{field.name}`" in TEXT or f'"{field.name}"' in TEXT, field.name
