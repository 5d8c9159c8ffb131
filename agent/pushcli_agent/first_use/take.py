"""The program of the child that takes Chef's administrators as editors of this node.

It reads a `TakeRequest` and prints a `TakeReply`, both JSON. Names are those of the group
`admins`, keys those that `principals` gives: where the node may not look at the group, our server
names its users, but the keys are Chef's.
"""

import signal
import sys
import time
from pathlib import Path

import msgspec

from pushcli import errors, keys
from pushcli.client.answers import checked, decoded
from pushcli.client.connection import Response
from pushcli.client.http import HttpClient, Requestor, Server
from pushcli.client.limits import Limits
from pushcli.client.paths import quoted
from pushcli.protocol import chef_answers
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_agent.enrolment import pinned
from pushcli_agent.first_use import decisions, pins
from pushcli_agent.first_use.decisions import Members, Unacceptable
from pushcli_agent.first_use.request import TakeReply, TakeRequest
from pushcli_agent.whitelist.editors import Editor

_PATIENCE = 5.0
_LIMITS = Limits(connect=_PATIENCE, silence=_PATIENCE, total=_PATIENCE, size=1_048_576, patience=0)
_LIFE = 120
"""Seconds after which this process is ended, whatever it waits for."""

_JSON = {"Accept": "application/json"}


class _Administrators(msgspec.Struct):
    """What our server answers."""

    users: list[str]


def main() -> None:
    """Answer one request."""
    signal.alarm(_LIFE)
    try:
        request = msgspec.json.decode(sys.stdin.buffer.read(), type=TakeRequest)
        reply = TakeReply(pinned=[(one.name, one.fingerprint) for one in pin(request)])
    except (errors.PushcliError, ChefAway, ChefRefuses, Unacceptable) as error:
        reply = TakeReply(error=str(error))
    except OSError as error:
        reply = TakeReply(error=f"cannot write in the agent's directory: {error.strerror}")
    sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")


def pin(request: TakeRequest) -> list[Editor]:
    """Ask, check and pin; nothing if editors were pinned meanwhile.

    Raises:
        PushcliError, ChefAway, ChefRefuses, Unacceptable, OSError: nothing is pinned.
    """
    requestor = Requestor(
        request.node_name,
        keys.load_private_key(Path(request.client_key)),
        version=request.signing_version,
        remedy="",
    )
    server = Server(
        url=request.server_urls[0],
        others=request.server_urls[1:],
        ca_file=Path(request.ca_file) if request.ca_file else None,
        fingerprint=request.fingerprint,
        remedy="set ca_file or fingerprint in agent.toml",
    )
    client = HttpClient(server, requestor, limits=_LIMITS, env={})
    org = client.base.rpartition("/")[2]
    try:
        found = [
            candidate
            for user in _administrators(client, org)
            for candidate in decisions.candidates(user, _owners(client, user))
        ]
    finally:
        client.close()
    editors = [
        pinned.editor(one.name, one.public_key, first_use=True)
        for one in decisions.chosen(found, _fingerprint)
    ]
    mark = pins.Mark(at=time.time(), chef_server_url=client.base, editors=editors)
    return editors if pins.pin(Path(request.directory), mark) else []


def _administrators(client: HttpClient, org: str) -> list[str]:
    members = Members(org)
    try:
        while (name := members.next_group) is not None:
            members.add(_group(client, name))
    except errors.PermissionDenied:
        # A Chef Infra Server shows groups to its users alone; our server asks as its superuser.
        members = Members(org)
        members.add_users(_named_by_ours(client))
    return members.users


def _group(client: HttpClient, name: str) -> chef_answers.Group | None:
    answer = _look_up(client, f"groups/{quoted(name)}")
    return chef_answers.group(answer.status, answer.content, name)


def _named_by_ours(client: HttpClient) -> list[str]:
    answer = _ask(client, "pushy/administrators")
    if answer is None:
        raise errors.PermissionDenied(
            "nodes may not look at the group admins",
            "run `knife acl add group clients groups admins read`, or pin editors by hand",
        )
    return checked(decoded(answer.content), _Administrators).users


def _owners(client: HttpClient, user: str) -> list[chef_answers.Owner] | None:
    answer = _look_up(client, f"principals/{quoted(user)}")
    return chef_answers.owners(answer.status, answer.content, user)


def _look_up(client: HttpClient, path: str) -> Response:
    """The answer, also that there is no such thing: it may be a page of who stands between."""
    return _ask(client, path) or client.answer("GET", path, headers=_JSON)


def _ask(client: HttpClient, path: str) -> Response | None:
    """The answer; None: there is no such thing."""
    try:
        return client.request("GET", path, headers=_JSON)
    except errors.NotFound:
        return None


def _fingerprint(pem: str) -> str | None:
    try:
        return pinned.editor("-", pem).fingerprint
    except errors.KeyFileError:
        return None
