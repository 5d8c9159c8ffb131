"""What the node reports of itself, in the shapes of Chef's ohai, from the standard library.

Collected in the short-lived child that fetches the configuration: names may take a while.
"""

import os
import platform
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

MAX_BYTES = 30_000
"""Of all facts as JSON."""
_PATIENCE = 2.0
"""Seconds for the node's full name: a name server may be away."""
_FAMILIES = {"ubuntu": "debian", "debian": "debian", "centos": "rhel", "rocky": "rhel"}


def collect(
    roles: Iterable[str] = (),
    tags: Iterable[str] = (),
    attributes: Mapping[str, Any] | None = None,
    *,
    opened: Iterable[str] = (),
) -> dict[str, Any]:
    """The node's `automatic` attributes.

    Args:
        roles, tags: as agent.toml has them.
        attributes: of the operator's own; they do not replace what was found.
        opened: what of a job is its caller's choice (`AgentSettings.open`).
    """
    found: dict[str, Any] = {**_system(), **_names(), "ipaddress": address()}
    # There is always such an attribute: none of the operator's own may stand in for it.
    found["pushcli"] = {"open": list(opened)}
    given = {"roles": list(roles), "tags": list(tags)}
    facts = {**(attributes or {}), **found, **{k: v for k, v in given.items() if v}}
    if len(msgspec.json.encode(facts)) > MAX_BYTES:
        # The operator's own are what grew; what was found is small.
        return {**found, "facts_left_out": f"attributes of more than {MAX_BYTES} bytes"}
    return facts


def address() -> str:
    """The address that this node is reached by: that of its default route."""
    # Nothing is sent: a datagram socket is only told where it would send to.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _system() -> dict[str, Any]:
    uname = os.uname()
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    identifier = release.get("ID", uname.sysname.lower())
    family = _FAMILIES.get(identifier) or release.get("ID_LIKE", identifier).split()[0]
    return {
        "os": uname.sysname.lower(),
        "platform": identifier,
        "platform_family": family,
        "platform_version": release.get("VERSION_ID", uname.release),
        "kernel": {
            "name": uname.sysname,
            "release": uname.release,
            "version": uname.version,
            "machine": uname.machine,
        },
    }


def _names() -> dict[str, str]:
    hostname = socket.gethostname()
    return {"hostname": hostname.partition(".")[0], "fqdn": full_name(hostname)}


def full_name(hostname: str, patience: float = _PATIENCE) -> str:
    """The node's name with its domain, or the short one if none can be had in time."""
    answer = [hostname]

    def ask() -> None:
        found = socket.getfqdn(hostname)
        if not found.startswith("localhost"):
            answer.append(found)

    # A resolver that hangs cannot be interrupted; this process ends without it.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    return answer[-1]
