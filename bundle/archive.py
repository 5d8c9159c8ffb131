"""The archive: wheels, what pins them, the installer, and sums of it all."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename

from bundle import wheels

INSTALLER = Path(__file__).with_name("install.sh")
_PIP = "pip"
_SPACE = 1.8
"""Installed size by unpacked size: compiled modules, and whole blocks."""


def make(directory: Path, out: Path, *, pythons: Sequence[str], machine: str, moment: int) -> Path:
    """Write the archive of what is in a directory of wheels; the same wheels give the same bytes.

    Args:
        directory: holds pushcli's wheel, those it needs, and pip's, which installs them.
        out: the directory that the archive goes to.
        pythons: for which there are wheels, such as `3.11`.
        moment: the date of its files, in seconds since the epoch.

    Raises:
        ValueError: a wheel is missing, or for another machine.
    """
    found = sorted(directory.glob("*.whl"))
    names = {wheel: str(parse_wheel_filename(wheel.name)[0]) for wheel in found}
    for needed in ("pushcli", _PIP):
        if needed not in names.values():
            raise ValueError(f"no wheel of {needed} in {directory}")
    version = next(_version(wheel) for wheel, name in names.items() if name == "pushcli")
    glibc = wheels.oldest_that_does(found, machine)
    sizes = [wheels.unpacked_size(_of_python(found, names, python)) for python in pythons]
    files = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in found}
    files["install.sh"] = INSTALLER.read_bytes()
    files["requirements.txt"] = _requirements(found).encode()
    files["bundle.env"] = _facts(
        VERSION=version,
        MACHINE=machine,
        GLIBC=f"{glibc[0]}.{glibc[1]}",
        PYTHONS=" ".join(pythons),
        KBYTES=str(int(max(sizes) * _SPACE / 1024)),
        PIP=next(f"wheels/{wheel.name}" for wheel, name in names.items() if name == _PIP),
    ).encode()
    files["SHA256SUMS"] = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(files.items())
    ).encode()
    top = f"pushcli-{version}-linux-{machine}"
    archive = out / f"{top}.tar.gz"
    fresh = archive.with_suffix(".new")
    fresh.write_bytes(gzip.compress(_tar(top, files, moment), 6, mtime=moment))
    fresh.replace(archive)
    return archive


def _of_python(found: Sequence[Path], names: dict[Path, str], python: str) -> list[Path]:
    """The wheels that are installed there."""
    its = [wheel for wheel in found if wheels.fits(wheel.name, python)]
    if missing := sorted(set(names.values()) - {names[wheel] for wheel in its}):
        raise ValueError(f"no wheel for Python {python}: {', '.join(missing)}")
    return its


def _version(wheel: Path) -> str:
    return str(parse_wheel_filename(wheel.name)[1])


def _requirements(found: Sequence[Path]) -> str:
    """Every version and every hash; a distribution may have a wheel for each Python."""
    pins: dict[str, list[str]] = {}
    for wheel in found:
        name, version, _, _ = parse_wheel_filename(wheel.name)
        if canonicalize_name(name) != _PIP:
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            pins.setdefault(f"{name}=={version}", []).append(f" \\\n    --hash=sha256:{digest}")
    return "".join(f"{pin}{''.join(hashes)}\n" for pin, hashes in sorted(pins.items()))


def _facts(**facts: str) -> str:
    return "".join(f"{name}='{value}'\n" for name, value in facts.items())


def _tar(top: str, files: dict[str, bytes], moment: int) -> bytes:
    """As made by nobody in particular."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mtime = len(content), moment
            entry.mode = 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
