"""Listening sockets, and several on one port for ROUTERs with different keys.

A ZeroMQ socket has one CURVE key, and ends its connections together with its listener. So
that the previous key stays good while agents move to a new one, each key has a ROUTER of its
own on the same port. The kernel spreads new connections over them (SO_REUSEPORT); a handshake
that meets the other key is refused, and tried again from another port of the peer's: by our
agents at once for some times (`pushcli_agent/link/channel.py`), by ZeroMQ itself each time after
0.1 to 0.2 s, on a busy machine more.
"""

import contextlib
import errno
import ipaddress
import socket

import zmq

from pushcli.errors import StartError

BACKLOG = 4096
"""A fleet reconnects at once; libzmq's default of 100 leaves half of it waiting."""


def listen(
    host: str, port: int, settings: tuple[str, str], *, shared: bool = False
) -> socket.socket:
    """A socket that listens there.

    Args:
        settings: which in server.toml say the port and the address.
        shared: leave room for others of ours on the port.

    Raises:
        StartError: the port is taken, or the address is not ours.
    """
    return _bound(host, port, settings, shared=shared, listens=True)


def require_free(host: str, port: int, settings: tuple[str, str]) -> None:
    """Require that nobody listens there: two servers would share the port without noticing.

    Raises:
        StartError: somebody does, or the address is not ours.
    """
    _bound(host, port, settings, shared=False, listens=False).close()


def resolve(context: "zmq.Context[zmq.Socket[bytes]]", address: str) -> str:
    """The numeric address behind `tcp://ADDRESS`, which may name an interface, as ZeroMQ has it.

    Raises:
        StartError: it is not ours.
    """
    name = address.removeprefix("tcp://").strip("[]")
    if name == "*":
        return "0.0.0.0"  # noqa: S104
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name))
    with context.socket(zmq.ROUTER) as probe:
        probe.linger = 0
        probe.ipv6 = "[" in address
        try:
            probe.bind(f"{address}:*")
        except zmq.ZMQError as error:
            raise StartError(
                f"cannot listen on {address}: {error.strerror}",
                "change zeromq_listen_address in server.toml",
            ) from error
        endpoint = probe.get_string(zmq.LAST_ENDPOINT)
    return endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")


def _bound(
    host: str, port: int, settings: tuple[str, str], *, shared: bool, listens: bool
) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.socket(family)
    except OSError as error:
        raise StartError(f"cannot listen on {host} port {port}: {error.strerror}") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((host, port))
        if listens:
            made.listen(BACKLOG)
    except OSError as error:
        made.close()
        taken = error.errno == errno.EADDRINUSE
        raise StartError(
            f"cannot listen on {host} port {port}: {error.strerror}",
            f"end what uses it or change {settings[0]} in server.toml"
            if taken
            else f"check {settings[1]} and {settings[0]} in server.toml",
        ) from error
    return made
