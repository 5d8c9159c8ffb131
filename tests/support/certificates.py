"""Certificates for servers of tests."""

import ssl
from pathlib import Path
from typing import NamedTuple

from pushcli import tls


class Certificate(NamedTuple):
    """A self-signed certificate, to serve with and to be trusted."""

    file: Path
    fingerprint: str
    context: ssl.SSLContext


def self_signed(directory: Path, names: list[str]) -> Certificate:
    """Make one for these names."""
    pem, key = tls.make_self_signed(names)
    directory.mkdir(exist_ok=True)
    files = directory / "cert.pem", directory / "key.pem"
    files[0].write_text(pem)
    files[1].write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return Certificate(files[0], tls.certificate_fingerprint(pem), context)
