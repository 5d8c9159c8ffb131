"""Admission to the command channel: ZeroMQ asks, the admitted keys answer (ZAP, RFC 27)."""

import logging
from collections.abc import Callable

import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator

_log = logging.getLogger(__name__)


class Doorkeeper:
    """Admits CURVE keys for which `is_admitted(key)` (Z85) holds."""

    def __init__(
        self, context: "zmq.Context[zmq.Socket[bytes]]", is_admitted: Callable[[str], bool]
    ):
        # pyzmq's authenticator logs every refusal; a port scan must not fill the log.
        log = logging.getLogger(f"{__name__}.authenticator")
        log.setLevel(logging.ERROR)
        shadow: zmq.asyncio.Context = zmq.asyncio.Context(context)
        self._authenticator = AsyncioAuthenticator(shadow, log=log)
        self._is_admitted = is_admitted

    def start(self) -> None:
        """Answer from now on; before this, ZeroMQ would let nobody in."""
        self._authenticator.start()
        self._authenticator.configure_curve_callback("pushcli", credentials_provider=self)

    def callback(self, domain: str, key: bytes) -> bool:
        """pyzmq's interface: may this key (Z85) connect?"""
        try:
            return self._is_admitted(key.decode("ascii"))
        except Exception:
            # It would end the authenticator's task, and nobody would be let in any more.
            _log.exception("a CURVE key could not be judged; it is refused")
            return False

    def stop(self) -> None:
        """No more admissions."""
        self._authenticator.stop()
