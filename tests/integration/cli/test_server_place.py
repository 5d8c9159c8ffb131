"""Root acts as the user to whom a server's directory belongs."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from pathlib import Path
from pushcli.commands.server_place import become_owner

become_owner(Path(sys.argv[1]))
print(os.getuid(), os.geteuid(), os.getgid(), os.environ["HOME"])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can")
def test_root_becomes_the_owner_whose_home_it_has(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True
    )
    uid, gid = nobody.pw_uid, nobody.pw_gid
    assert done.stdout == f"{uid} {uid} {gid} {nobody.pw_dir}\n"


def test_in_a_directory_of_ones_own_one_stays_who_one_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True,
        env={**os.environ, "HOME": "/somewhere"},
    )  # fmt: skip
    assert done.stdout == f"{os.getuid()} {os.geteuid()} {os.getgid()} /somewhere\n"
