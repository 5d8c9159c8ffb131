"""REST's TLS certificate: checked before it is used, taken up anew when its files change."""

import asyncio
import logging
import os
import ssl
from pathlib import Path

from pushcli.errors import ConfigError

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the files."""

_log = logging.getLogger(__name__)
_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """A certificate and its key, both PEM files; the key has no passphrase."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self._stamp = self._look()

    def check(self) -> None:
        """Require that they can be used.

        Raises:
            ConfigError: unreadable, or no certificate with its key.
        """
        for path in self._files:
            if not os.access(path, os.R_OK):
                raise ConfigError(
                    f"cannot read {path}", "check tls_cert and tls_key in server.toml"
                )
        try:
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        except (OSError, ValueError) as error:
            certificate, key = self._files
            raise ConfigError(
                f"{certificate} and {key} do not hold a certificate and its key",
                "check tls_cert and tls_key in server.toml; the key must have no passphrase",
            ) from error

    async def watch(self, context: ssl.SSLContext) -> None:
        """Give new connections the certificate that is there, until cancelled.

        One that cannot be used, such as one whose key has not been replaced yet, is left alone.
        """
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            stamp = await asyncio.to_thread(self._look)
            if stamp == self._stamp:
                continue
            self._stamp = stamp
            try:
                await asyncio.to_thread(self.check)
                self._load(context)
            except (ConfigError, OSError) as error:
                _log.warning("the certificate in use stays: %s", error)
            else:
                _log.info("a new certificate is in use")

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._files
        # A key with a passphrase is refused; without this OpenSSL would ask the terminal.
        context.load_cert_chain(certificate, key, password=bytes)

    def _look(self) -> _Stamp:
        try:
            found = [path.stat() for path in self._files]
        except OSError:
            return ()
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)
