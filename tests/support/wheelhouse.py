"""Wheels without an index: what is installed beside the tests, packed up again."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.utils import canonicalize_name

from bundle.closure import closure

TOP = Path(__file__).parents[2]
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def fill(directory: Path) -> None:
    """Put pushcli's wheel there, those of all that it needs, and pip's."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory)]
    subprocess.run([*command, *offline, str(TOP)], check=True, capture_output=True)
    for name in sorted(closure("pushcli", requires, [PYTHON]) | {"pip"}):
        _pack(distribution(name), directory)


def requires(name: str) -> list[str]:
    """What a distribution says that it requires."""
    return distribution(name).requires or []


def _pack(installed: Distribution, directory: Path) -> None:
    site = Path(str(installed.locate_file("")))
    files = {
        str(file): (site / file).read_bytes()
        for file in installed.files or ()
        if not str(file).startswith("..") and "__pycache__" not in str(file)
    }
    [info] = {name.partition("/")[0] for name in files if name.endswith(".dist-info/WHEEL")}
    for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
        files.pop(f"{info}/{name}", None)
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(directory / _name(installed, files[f"{info}/WHEEL"]), "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


def _name(installed: Distribution, about: bytes) -> str:
    lines = [line.partition(": ") for line in about.decode().splitlines()]
    tags = [value.split("-") for key, _, value in lines if key == "Tag"]
    parts = (".".join(sorted(set(each))) for each in zip(*tags, strict=True))
    build = [value for key, _, value in lines if key == "Build"]
    name = canonicalize_name(installed.metadata["Name"]).replace("-", "_")
    return "-".join([name, installed.version, *build, *parts]) + ".whl"


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
