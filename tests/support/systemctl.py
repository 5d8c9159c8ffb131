"""systemctl for a machine without systemd: starts and stops what the units of our services say.

usage: python -m tests.support.systemctl PROGRAM VERB [--now] NAME

`$MACHINE/services` has the process of each service, its log, and in `asked` all that was asked for.
"""

import contextlib
import os
import pwd
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PLACE = Path(os.environ["MACHINE"]) / "services"
PATIENCE = 60.0


def main() -> None:
    verb, *names = [word for word in sys.argv[2:] if word != "--now"]
    PLACE.mkdir(exist_ok=True)
    with (PLACE / "asked").open("a") as asked:
        print(*sys.argv[2:], file=asked)
    for name in names:
        unit = Path(f"/etc/systemd/system/{name}.service")
        if not unit.exists():
            sys.exit(f"Unit {name}.service could not be found.")
        if verb in {"disable", "stop", "restart"}:
            stop(name)
        if verb in {"enable", "start", "restart"}:
            start(name, unit.read_text())


def start(name: str, unit: str) -> None:
    """And wait until it says that it is ready."""
    found = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    # Where its user can write to it.
    notified = Path("/var/opt") / f"{name}.notify"
    notified.unlink(missing_ok=True)
    user: dict[str, object] = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(notified))
        notified.chmod(0o777)
        if "User" in found:
            entry = pwd.getpwnam(found["User"])
            user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        with (PLACE / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                shlex.split(found["ExecStart"]), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/", start_new_session=True, env={**os.environ, "NOTIFY_SOCKET": str(notified)},
                **user,  # type: ignore[call-overload]
            )  # fmt: skip
        (PLACE / f"{name}.pid").write_text(str(process.pid))
        if found.get("Type") != "notify":
            return
        ready.settimeout(0.1)
        until = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in ready.recv(4096):
                    return
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"Job for {name}.service failed.")


def stop(name: str) -> None:
    """And wait for its end."""
    file = PLACE / f"{name}.pid"
    if not file.exists():
        return
    pid = int(file.read_text())
    file.unlink()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            os.kill(pid, 0)
            time.sleep(0.05)
        sys.exit(f"{name} does not end")


main()
