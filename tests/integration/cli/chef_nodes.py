"""Node objects on a Chef Infra Server that a test plays, and `pushcli whitelist` against it."""

import io
import json
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs

from pushcli.cli import root
from pushcli.terminal.context import App
from tests.integration.cli.in_process import OLD_SERVER
from tests.integration.cli.played_server import URL, Reply, Request


def node(name: str, **push_jobs: dict[str, Any]) -> dict[str, Any]:
    """A node object; attributes by level."""
    levels = {level: {"push_jobs": {"whitelist": w}} for level, w in push_jobs.items()}
    return {
        "name": name, "chef_environment": "prod", "json_class": "Chef::Node",
        "automatic": {"fqdn": f"{name}.example.com", "ohai_time": 1700000000.5},
        "normal": {"tags": ["a"]}, "chef_type": "node", "default": {}, "override": {},
        "run_list": ["role[web]"], **levels,
    }  # fmt: skip


class ChefServer:
    """Nodes, and what was asked of them."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.puts: list[str] = []
        self.broken: set[str] = set()
        self.keys: dict[str, list[str]] = {}
        """Public keys (PEM) by the name of the user."""
        self.asked: list[str] = []
        """Whose were asked for."""

    def whitelist(self, name: str) -> Any:
        return self.nodes[name]["normal"]["push_jobs"]["whitelist"]

    def record(self, name: str, entry: str) -> Any:
        return self.nodes[name]["normal"]["push_jobs"]["whitelist_signatures"][entry]

    def answer(self, request: Request) -> Reply:
        status, body = self._handle(request)
        return status, OLD_SERVER, json.dumps(body)

    def _handle(self, request: Request) -> tuple[int, Any]:
        match request.method, request.path.removeprefix("/organizations/acme/").split("/"):
            case "GET", ["nodes"]:
                return 200, {name: f"{URL}/nodes/{name}" for name in self.nodes}
            case "GET", ["nodes", name] if name in self.nodes:
                return 200, self.nodes[name]
            case "PUT", ["nodes", name] if name in self.broken:
                return 403, {"error": ["missing update permission"]}
            case "PUT", ["nodes", name]:
                self.puts.append(name)
                self.nodes[name] = json.loads(request.body)
                return 200, self.nodes[name]
            case "GET", ["principals", name]:
                self.asked.append(name)
                users = [{"name": name, "type": "user", "public_key": pem, "org_member": True}
                         for pem in self.keys.get(name, [])]  # fmt: skip
                gone = {"not_found": "principal", "error": f"Cannot find principal {name}"}
                return (200, {"principals": users}) if users else (404, gone)
            case _, ["nodes", name]:
                return 404, {"error": [f"node '{name}' not found"]}
            case "POST", ["search", "node"]:
                query = parse_qs(request.query)
                start, rows = int(query["start"][0]), min(int(query["rows"][0]), 2)
                found = [n for n in sorted(self.nodes) if query["q"] == ["name:*"]]
                data = [{"url": f"{URL}/nodes/{n}", "data": {"name": n}} for n in found]
                return 200, {"total": len(found), "start": start, "rows": data[start:][:rows]}
            case _:
                return 404, {"error": ["No such route"]}


def run(key: Path, *arguments: str, stderr: TextIO | None = None, **env: str) -> tuple[Any, str]:
    """`pushcli whitelist ARGUMENTS` in this process: what it gave back and printed."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    home = {"PUSHCLI_SERVER_URL": URL, "PUSHCLI_USER": "ann", "PUSHCLI_KEY": str(key)}
    app = App(stdout=out, stderr=stderr or io.StringIO(), stdin=None, env={**home, **env})
    with root.make_context("pushcli", ["whitelist", *arguments], obj=app) as context:
        status = root.invoke(context)
    app.client.close()
    assert isinstance(out.buffer, io.BytesIO)
    return status, out.buffer.getvalue().decode()
