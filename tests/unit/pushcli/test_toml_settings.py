"""Configuration files: errors name the file, the key and what was meant."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from pushcli import toml_settings
from pushcli.errors import ConfigError


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    depth: int = 0


class Example(msgspec.Struct, forbid_unknown_fields=True):
    api_port: int = 10003
    log_level: Literal["info", "debug"] = "info"
    inner: Inner = msgspec.field(default_factory=Inner)


def failure(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        toml_settings.load(path, Example)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_a_file_becomes_a_struct_with_defaults(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text('api_port = 8443 # "why"\n[inner]\ndepth = 3\n')
    assert toml_settings.load(path, Example) == Example(8443, "info", Inner(3))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"api_prot = 1", "unknown key 'api_prot': did you mean 'api_port'?"),
        (b"colour = 1", "unknown key 'colour': known are api_port, log_level, inner"),
        (b"[inner]\ndepht = 1", "inner: object contains unknown field depht"),
        (b"api_port = '1'", "api_port: expected int, got str"),
        (b"api_port = 1.5", "api_port: expected int, got float"),
        (b"log_level = 'loud'", "log_level: invalid enum value 'loud'"),
        (b"inner = 1", "inner: expected object, got int"),
        (b"[inner]\ndepth = []", "inner.depth: expected int, got array"),
        (b"\n\napi_port 1", "line 3"),
        (b"api_port = 1\napi_port = 2", "Cannot overwrite a value"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"api_port = " + b"[" * 60_000, "is not valid TOML"),
        (b"api_port = " + b"9" * 5000, "is not valid TOML"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in failure(tmp_path / "example.toml", content)


@pytest.mark.parametrize("name", ["missing.toml", ".", "nul\0l.toml"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        toml_settings.load(tmp_path / name, Example)
