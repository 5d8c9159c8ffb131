"""asyncio's socket transports, of which nothing stays when their connection is over."""

from asyncio import selector_events

BUFFER = 65_536
"""Bytes that a connection reads at once, and that it holds of what a client has not read."""


class Transport(selector_events._SelectorSocketTransport):  # type: ignore[name-defined,misc]
    """asyncio's, which refers to itself for as long as it is there.

    So it, its buffers and its socket's object would wait for a collection of all that the server
    holds, which comes once in hours (`server.py`): 7 KB for each connection there was.
    """

    max_size = BUFFER

    def _call_connection_lost(self, exc: Exception | None) -> None:
        super()._call_connection_lost(exc)
        for name in ("_read_ready_cb", "_write_ready"):
            self.__dict__.pop(name, None)


def install() -> None:
    """Have asyncio make these. It has no other place to say so, with TLS above it."""
    selector_events._SelectorSocketTransport = Transport  # type: ignore[attr-defined]
