"""The server's port, held by who changes what is stored while no server runs."""

import socket

from pushcli.errors import StartError
from pushcli_server import listener
from pushcli_server.settings import Settings


def alone(config: Settings, *, why: str, remedy: str) -> socket.socket:
    """The port: a server that is started meanwhile finds it taken.

    Args:
        why: nothing can be done while one runs; the error's text behind "the server is running".

    Raises:
        StartError: the server runs.
    """
    try:
        return listener.listen(
            config.listen_host, config.api_port, ("api_port", "api_listen_address")
        )
    except StartError as error:
        raise StartError(f"the server is running{why}", remedy) from error
