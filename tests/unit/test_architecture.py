"""The architecture page tells the truth: its files exist, every package has a place, the state
diagrams are what the machines do.
"""

import re
from pathlib import Path

import pytest

from tests.support.diagrams import with_diagrams

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
TEXT = PAGE.read_text("utf-8")
PACKAGES = {
    "pushcli": ROOT / "pushcli",
    "pushcli_server": ROOT / "server/pushcli_server",
    "pushcli_agent": ROOT / "agent/pushcli_agent",
}
_CODE = re.compile(r"`([^`\n]+)`")
NAMES = sorted(
    {name for name in _CODE.findall(TEXT) if name.endswith((".py", "/", ".md", ".toml"))}
)


def test_the_page_names_files() -> None:
    assert len(NAMES) > 50


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_the_page_names_exists(name: str) -> None:
    places = [root / name for root in (ROOT, *PACKAGES.values())]
    assert any(place.exists() for place in places), f"there is no {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_named(package: str) -> None:
    assert f"`{package}`" in TEXT
    rooms = [path.parent for path in PACKAGES[package].glob("*/__init__.py")]
    assert rooms
    for room in rooms:
        assert f"`{room.name}/" in TEXT, f"nothing is said of {room.name}/ of {package}"


def test_every_module_of_the_servers_core_is_named() -> None:
    told = {"job_events.py"}  # of one machine, beside it
    modules = {path.name for path in (PACKAGES["pushcli_server"] / "core").glob("[a-z]*.py")}
    missing = {name for name in modules - told if f"`core/{name}`" not in TEXT}
    assert missing <= {"states.py"}


def test_the_diagrams_are_what_the_machines_do() -> None:
    assert with_diagrams(TEXT) == TEXT, "run `make diagrams`"
