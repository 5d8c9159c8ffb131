"""A machine of its own for commands that are about a whole one: /etc, /var/lib, a home.

It is a mount namespace of this one, so that paths mean what they say. Programs that are not ours,
but that an installation would have, stand in its `bin`; `systemctl` starts what units say.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.support.waiting import patient

TOP = Path(__file__).parents[2]
_OWN = ("/etc", "/opt", "/var/lib", "/var/opt")
_PYTHON = "/opt/python"
_SEEN = {
    _PYTHON: sys.base_prefix,
    "/opt/packages": sysconfig.get_path("purelib"),
    "/opt/pushcli_source": str(TOP),
}
"""What users see of Python and of the checkout, which may lie where they see nothing."""
_ENTER = """
while [ $# -gt 0 ]; do mount --bind "$1" "$2" || exit; shift 2; done
echo; exec cat
"""


def _can_be_made() -> bool:
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "nsenter", "systemd-sysusers"))):
        return False
    inside = "mount -t tmpfs none /mnt && setpriv --reuid 65534 --clear-groups \"$0\" -c ''"
    tried = ["unshare", "-m", "sh", "-c", inside, sys.executable]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


needs_machine = pytest.mark.skipif(
    not _can_be_made(), reason="only root can have another /etc, and needs systemd-sysusers"
)


class Machine:
    """One whose files lie below `directory`, and on which pushcli is installed.

    Args:
        programs: scripts of `sh` by name, of what is not ours.
    """

    def __init__(self, directory: Path, programs: Mapping[str, str]) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.bin = directory / "bin"
        self._programs = programs
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        for place in _OWN:
            (self.directory / place[1:]).mkdir(parents=True)
        self.home.mkdir()
        self.bin.mkdir()
        shutil.copytree(
            "/etc", self.directory / "etc", symlinks=True, dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("pushcli*", "chef", "opscode*"),
        )  # fmt: skip
        (self.bin / "pushcli").symlink_to("/opt/pushcli/bin/pushcli")
        systemctl = f'cd {TOP} && exec {sys.executable} -m tests.support.systemctl "$0" "$@"'
        for name, text in {**self._programs, "systemctl": systemctl}.items():
            script = self.bin / name
            script.write_text(f"#!/bin/sh\n{text}\n")
            script.chmod(0o755)
        binds = [(self.path(place), place) for place in _OWN]
        for place, seen in _SEEN.items():
            self.path(place).mkdir()
            binds.append((Path(seen), place))
        ends = [str(end) for bind in binds for end in bind]
        self._process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", _ENTER, "sh", *ends],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "\n"
        self._install()
        return self

    def _install(self) -> None:
        """pushcli, in an environment of its own below /opt."""
        program = Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())
        made = self.run(f"{_PYTHON}/{program} -m venv --without-pip /opt/pushcli")
        assert made.returncode == 0, made.stderr
        [packages] = self.path("/opt/pushcli").glob("lib/python*/site-packages")
        source, others = "/opt/pushcli_source", "/opt/packages"
        lines = [source, f"{source}/server", f"{source}/agent", others]
        (packages / "pushcli.pth").write_text("".join(f"{line}\n" for line in lines))
        # Its own library, which it may look for where users see nothing.
        main = f"LD_LIBRARY_PATH={_PYTHON}/lib exec /opt/pushcli/bin/python -P -m pushcli"
        self.write("/opt/pushcli/bin/pushcli", f'#!/bin/sh\n{main} "$@"\n', 0o755)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        assert self._process is not None
        for pid_file in (self.directory / "services").glob("*.pid"):
            self.run(f"systemctl stop {pid_file.stem}")
        self._process.communicate()

    def path(self, name: str) -> Path:
        """Where an absolute path of it lies."""
        return self.directory / name.lstrip("/")

    def write(self, name: str, content: str | bytes, mode: int = 0o644) -> None:
        """A file of it, and its directory."""
        file = self.path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)

    def run(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Commands, the first that fails being the last; with nobody to ask."""
        assert self._process is not None
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PUSHCLI")
        }
        environment |= {
            "HOME": str(self.home), "PATH": f"{self.bin}:{os.environ['PATH']}:/usr/sbin:/sbin",
            "MACHINE": str(self.directory),
        }  # fmt: skip
        enter = ["nsenter", "-t", str(self._process.pid), "-m", "bash", "-euo", "pipefail", "-c"]
        return subprocess.run(
            [*enter, f'cd "$HOME"\n{script}'], env=environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=patient(60), check=False,
        )  # fmt: skip
