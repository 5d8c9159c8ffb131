"""Real nginx and HAProxy, configured as docs/ says."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pushcli import tls
from tests.support.waiting import patient

TOP = Path(__file__).parents[2]
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
NGINX = shutil.which("nginx", path=_PATH)
HAPROXY = shutil.which("haproxy", path=_PATH)
needs_nginx = pytest.mark.skipif(NGINX is None, reason="no nginx here (Debian: nginx-light)")
needs_haproxy = pytest.mark.skipif(HAPROXY is None, reason="no haproxy here")


class Certificate:
    """Of a proxy on loopback, in files: the certificate, its key, both."""

    def __init__(self, directory: Path) -> None:
        pem, key = tls.make_self_signed(["127.0.0.1"])
        self.certificate, self.key = directory / "proxy.pem", directory / "proxy.key"
        self.both = directory / "both.pem"
        self.certificate.write_text(pem)
        self.key.write_bytes(key)
        self.both.write_bytes(pem.encode() + key)
        self.fingerprint = tls.certificate_fingerprint(pem)


def snippet(heading: str, language: str, number: int = 0, page: str = "operations.md") -> str:
    """What a section of a page of docs/ has as its example, or as one of several."""
    text = (TOP / "docs" / page).read_text()
    _, found, section = text.partition(f"## {heading}\n")
    assert found, heading
    blocks = section.partition("\n### ")[0].partition("\n## ")[0].split(f"```{language}\n")[1:]
    return blocks[number].partition("```")[0]


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """An example with its addresses and files replaced, each of which must be in it."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(directory: Path, http: str, port: int, host: str = "127.0.0.1") -> Iterator[None]:
    """One with this in its `http` block, until the end; it listens there, on loopback."""
    assert NGINX is not None
    (directory / "logs").mkdir(parents=True)
    user = "user root;" if os.geteuid() == 0 else ""
    places = "".join(
        f"    {kind}_temp_path {directory}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = directory / "nginx.conf"
    config.write_text(
        f"{user}\ndaemon off;\nworker_processes 1;\npid {directory}/nginx.pid;\n"
        f"error_log {directory}/error.log;\nevents {{ worker_connections 2000; }}\n"
        f"http {{\n    access_log {directory}/access.log;\n{places}{http}\n}}\n"
    )
    command = [NGINX, "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(config)]
    with _running(command, directory, (host, port)):
        yield


@contextmanager
def haproxy(directory: Path, config: str, port: int) -> Iterator[None]:
    """One with this configuration, until the end; it listens on that port of loopback."""
    assert HAPROXY is not None
    directory.mkdir(parents=True)
    file = directory / "haproxy.cfg"
    file.write_text(config)
    with _running([HAPROXY, "-db", "-f", str(file)], directory, ("127.0.0.1", port)):
        yield


@contextmanager
def _running(command: list[str], directory: Path, place: tuple[str, int]) -> Iterator[None]:
    log = directory / "output.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        deadline = time.monotonic() + patient(10)
        while not _listens(place):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(patient(10))


def _listens(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, 1).close()
    except OSError:
        return False
    return True
