"""The program of the child that asks the server for this node's configuration.

A child process, because TLS, HTTP and RSA would cost the agent 10 MiB for one request an
hour (`pushcli.client.http` has the figures). It reads a `ConfigRequest` and prints a
`ConfigReply`, both JSON.
"""

import signal
import sys
from pathlib import Path

import msgspec

from pushcli import __version__, keys
from pushcli.client.http import HttpClient, Requestor, Server
from pushcli.client.limits import Limits
from pushcli.errors import Busy, PermissionDenied, PushcliError
from pushcli.protocol import extensions
from pushcli_agent import facts
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.link.config_answer import server_config
from pushcli_agent.link.config_request import ConfigReply, ConfigRequest

PATIENCE = 5.0
"""Seconds for the server's answer, as the old agent has it."""
LIMITS = Limits(connect=PATIENCE, silence=PATIENCE, total=PATIENCE, size=65_536, patience=0)
_LIFE, _LIFE_MORE = 12, 20
"""Seconds after which this process is ended, whatever it waits for; more for each further URL: a
name may have several addresses."""


def main() -> None:
    """Answer one request."""
    signal.alarm(_LIFE)
    try:
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=ConfigRequest)
        signal.alarm(_LIFE + _LIFE_MORE * (len(request.server_urls) - 1))
        answer = ConfigReply(
            config=fetch(request),
            facts=facts.collect(
                request.roles, request.tags, request.attributes, opened=request.open
            ),
        )
    except Busy as error:
        answer = ConfigReply(error=str(error), retry_after=error.after)
    except PushcliError as error:
        answer = ConfigReply(error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


def fetch(request: ConfigRequest, limits: Limits = LIMITS) -> ServerConfig:
    """Ask, verify and decrypt.

    Raises:
        PushcliError: no usable answer; the text says why and what to do.
    """
    key = keys.load_private_key(Path(request.client_key))
    requestor = Requestor(
        request.node_name,
        key,
        version=request.signing_version,
        remedy="enroll the node, or check node_name and client_key in agent.toml",
    )
    # The command channel goes through no proxy: neither does what leads to it.
    client = HttpClient(_server(request), requestor, limits=limits, env={})
    try:
        response = client.request(
            "GET",
            f"pushy/config/{request.node_name}",
            params=_query(request),
            headers={"Accept": "application/json"},
        )
    except PermissionDenied as error:
        raise PermissionDenied(
            f"the server refused the configuration of {request.node_name}: {error.message}",
            "enroll the node",
        ) from error
    finally:
        client.close()
    return server_config(response.content, key, request.node_name)


def _server(request: ConfigRequest) -> Server:
    return Server(
        url=request.server_urls[0],
        others=request.server_urls[1:],
        ca_file=Path(request.ca_file) if request.ca_file else None,
        fingerprint=request.fingerprint,
        remedy="set ca_file or fingerprint in agent.toml",
    )


def _query(request: ConfigRequest) -> dict[str, str | list[str]]:
    return {
        "ccpk": request.curve_public_key,
        "version": "2.0",
        "client": f"pushcli/{__version__}",
        "extensions": extensions.render(extensions.ALL),
        "adopts": list(request.adopts),
    }
