"""Whom the original trusts at the other end, and what becomes of that."""

import posixpath
import re

import msgspec

from pushcli.errors import ConfigError
from pushcli.migration.settings_read import Settings

_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]++-----END CERTIFICATE-----"
)


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Where certificates lie that are trusted.

    Args:
        directory: of *.crt and *.pem; it need not be there.
        file: of several.
    """

    directory: str
    file: str | None


def trust_of(read: Settings, file: str) -> Trust:
    """What a file of settings says; without a word `trusted_certs` beside it.

    Raises:
        ConfigError: it verifies nobody.
    """
    if read.text("ssl_verify_mode") == "verify_none":
        raise ConfigError(
            f"{file}: ssl_verify_mode is verify_none, and pushcli verifies the server",
            "put its certificate into trusted_certs_dir (knife ssl fetch), set "
            "ssl_verify_mode :verify_peer, and try again",
        )
    if read.value("verify_api_cert") is False:
        read.changed("verify_api_cert", "the server is always verified")
    here = posixpath.dirname(file)
    directory = read.text("trusted_certs_dir") or "trusted_certs"
    ca_file = read.text("ssl_ca_file")
    return Trust(
        directory=posixpath.join(here, directory),
        file=None if ca_file is None else posixpath.join(here, ca_file),
    )


def certificates(texts: list[str]) -> list[str]:
    """The certificates in some files, each once; whatever else is in them stays there."""
    found = (re.sub(r"[ \t\r]+", "", one[27:-25]) for text in texts for one in _found(text))
    return [
        f"-----BEGIN CERTIFICATE-----{body}-----END CERTIFICATE-----\n"
        for body in dict.fromkeys(found)
    ]


def _found(text: str) -> list[str]:
    return _CERTIFICATE.findall(text)
