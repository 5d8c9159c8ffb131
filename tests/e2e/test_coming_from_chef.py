"""A walk through docs/coming-from-chef.md: its commands, as they stand there, on one machine.

Chef Infra Server, its nginx, and the Ruby client are played; the old server is a program that says
that it stopped.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from pushcli import keys, tls
from pushcli.sandbox.sandbox import free_ports
from tests.e2e.test_behind_nginx import LEFT_EXTERNAL, LEFT_UPSTREAM, ROUTING, WELCOME
from tests.support import postgresql
from tests.support.chef_server import ChefServer, chef_server
from tests.support.identities import KEYS
from tests.support.machine import TOP, Machine, needs_machine
from tests.support.original_database import ACME, original_database
from tests.support.proxies import needs_nginx, nginx
from tests.support.simulated import Plan
from tests.support.waiting import until

pytestmark = [
    pytest.mark.timeout(240), pytest.mark.slow, needs_machine, needs_nginx,
    postgresql.on_sqlite("the page's server has a file"),
]  # fmt: skip
PAGE = (TOP / "docs" / "coming-from-chef.md").read_text("utf-8")
SUPERUSERS_KEY, ANNS_KEY, NODES_KEY = KEYS[:3]
ORG, FQDN, NODE = "acme", "chef.example.com", "web01"
OLD_DATABASE = "postgresql://opscode_pushy_ro@127.0.0.1/opscode_pushy"
OLD_JOB = "0f" * 16
BLOCK = re.compile(r"^(?:## (?P<heading>[^\n]+)|```sh\n(?P<commands>.*?)^```)", re.M | re.S)
SERVER_RB = """
opscode_pushy_server['api_port'] = {api}
opscode_pushy_server['command_port'] = {commands}
opscode_pushy_server['server_heartbeat_port'] = {heartbeats}
opscode_pushy_server['heartbeat_interval'] = 1000
opscode_pushy_server['vip'] = '127.0.0.1'
opscode_pushy_server['server_name_advertised'] = '127.0.0.1'
"""
PROGRAMS = {
    "chef-client": "echo converged",
    "knife": "",
    "opscode-push-jobs-server-ctl": "",
}
"""Of Chef, that the page names or that a whitelist does."""
CLIENT_RB = f"""
chef_server_url   'https://{FQDN}/organizations/{ORG}'
node_name         '{NODE}'
client_key        '/etc/chef/client.pem'
trusted_certs_dir '/etc/chef/trusted_certs'
verify_api_cert   true
ssl_verify_mode   :verify_peer
whitelist({{"chef-client" => "chef-client"}})
"""
KNIFE_RB = f"""
node_name       'ann'
client_key      File.join(File.dirname(__FILE__), 'ann.pem')
chef_server_url 'https://{FQDN}/organizations/{ORG}'
"""


def walked() -> list[tuple[str, str]]:
    """The commands of each block, with their section's heading."""
    found, heading = [], ""
    for match in BLOCK.finditer(PAGE):
        heading = match["heading"] or heading
        if match["commands"]:
            found.append((heading, match["commands"]))
    return found


class Shop:
    """A machine with all that a Chef shop has on several, and what is in it."""

    def __init__(self, directory: Path, ended: ExitStack) -> None:
        self.ports = free_ports(3)
        self.address = f"127.{random.randint(1, 250)}.{random.randint(1, 250)}.2"
        self.certificate, self._certificate_key = tls.make_self_signed([FQDN])
        self.chef = ended.enter_context(chef_server(SUPERUSERS_KEY.public_key()))
        self._people(self.chef)
        self.database = ended.enter_context(original_database())
        self.database.job(OLD_JOB, nodes={NODE: 3})
        self.machine = ended.enter_context(Machine(directory / "machine", PROGRAMS))
        self._old_server()
        self._node()
        self._workstation()
        self._nginx(directory, ended)

    def _people(self, chef: ChefServer) -> None:
        chef.organizations, chef.guids = {ORG}, {ORG: ACME}
        chef.keys[ORG, "user", "ann"] = [keys.public_pem(ANNS_KEY)]
        chef.keys[ORG, "client", NODE] = [keys.public_pem(NODES_KEY)]
        chef.nodes[ORG, NODE] = {"name": NODE, "normal": {}}
        chef.groups[ORG, "admins"] = {"users": ["ann"]}

    def _old_server(self) -> None:
        api, commands, heartbeats = self.ports
        write, push = self.machine.write, "/etc/opscode-push-jobs-server"
        running = {"private_chef": {"lb": {"api_fqdn": FQDN}, "topology": "tier"}}
        secrets = {"chef-server": {"superuser_key": "not to be read"}}
        server = SERVER_RB.format(api=api, commands=commands, heartbeats=heartbeats)
        write(f"{push}/opscode-push-jobs-server.rb", server)
        write("/etc/opscode/chef-server-running.json", json.dumps(running))
        write("/etc/opscode/private-chef-secrets.json", json.dumps(secrets), 0o600)
        write("/etc/opscode/pivotal.pem", keys.private_pem(SUPERUSERS_KEY), 0o600)
        write(f"/var/opt/opscode/nginx/ca/{FQDN}.crt", self.certificate, 0o600)
        hosts = self.machine.path("/etc/hosts")
        hosts.write_text(f"{self.address} {FQDN}\n{hosts.read_text()}")

    def _node(self) -> None:
        write = self.machine.write
        write("/etc/chef/client.pem", keys.private_pem(NODES_KEY), 0o600)
        write("/etc/chef/push-jobs-client.rb", CLIENT_RB)
        write("/etc/chef/trusted_certs/chef.crt", self.certificate)
        plan = Plan(
            nodes=[NODE], interval=1.0, old=True, org=ORG, url=f"http://127.0.0.1:{self.ports[0]}",
            key_file="/etc/chef/client.pem",
        )  # fmt: skip
        write("/etc/chef/plan.json", msgspec.json.encode(plan).decode() + "\n")
        client = f"{sys.executable} -m tests.support.simulated < /etc/chef/plan.json"
        unit = f"[Service]\nExecStart=/bin/sh -c 'cd {TOP} && exec {client}'\n"
        write("/etc/systemd/system/chef-push-jobs-client.service", unit)

    def _workstation(self) -> None:
        write, chef = self.machine.write, self.machine.home / ".chef"
        chef.mkdir()
        write("home/ann.pub", keys.public_pem(ANNS_KEY))
        files: dict[str, str | bytes] = {
            "knife.rb": KNIFE_RB, "ann.pem": keys.private_pem(ANNS_KEY),
            "trusted_certs/chef.crt": self.certificate,
        }  # fmt: skip
        for name, content in files.items():
            write(f"home/.chef/{name}", content, 0o600)

    def _nginx(self, directory: Path, ended: ExitStack) -> None:
        (directory / "html").mkdir()
        (directory / "html" / "index.html").write_text(WELCOME)
        certificate, key = directory / "chef.crt", directory / "chef.key"
        certificate.write_text(self.certificate)
        key.write_bytes(self._certificate_key)
        http = ROUTING.format(
            chef=self.chef.port, upstream=LEFT_UPSTREAM.format(port=self.ports[0]),
            external=LEFT_EXTERNAL, root=directory / "html", certificate=certificate, key=key,
            port=443,
        ).replace("listen 127.0.0.1:443", f"listen {self.address}:443")  # fmt: skip
        ended.enter_context(nginx(directory / "nginx", http, 443, self.address))

    def run(self, commands: str) -> str:
        """What they print; they succeed."""
        for documented, here in {OLD_DATABASE: self.database.url}.items():
            commands = commands.replace(documented, here)
        done = self.machine.run(commands)
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
        return done.stdout

    def status(self) -> dict[str, str]:
        """What the workstation sees of the nodes, once it can."""
        rows = json.loads(self.run("pushcli node status -F json"))
        return {row["node_name"]: row["availability"] for row in rows}

    def wait_available(self) -> None:
        """The node, whatever its agent is."""
        until(lambda: self.status() == {NODE: "available"}, "the node is available")

    def jobs(self) -> list[tuple[str, str]]:
        """Commands and statuses, newest first."""
        found = json.loads(self.run("pushcli job list -F json"))
        return [(job["command"], job["status"]) for job in found]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as ended:
        yield Shop(tmp_path, ended)


def test_the_page_is_walked_through(shop: Shop) -> None:
    done = []
    for heading, commands in walked():
        if heading.startswith("4"):
            # An agent of the old kind fetches its configuration anew; ours is played once.
            shop.run("systemctl start chef-push-jobs-client; pushcli migrate workstation -y")
            shop.wait_available()
        said = shop.run(commands)
        done.append(heading[0])
        match heading[0], done.count(heading[0]):
            case "2", 3:
                # The way back; and there again.
                shop.run("systemctl enable --now pushcli-server")
            case "3", 1:
                assert "1 job" in said
            case "4", 1:
                assert shop.jobs() == [("chef-client", "complete")] * 2
            case "5", 1:
                shop.wait_available()
                shop.run("pushcli job start --capture chef-client web01")
                assert "converged" in shop.run("pushcli job output @last")
            case "5", 3:
                # The agent reads it within a second, and says so.
                until(lambda: "ann" in shop.run("pushcli node status web01 -F json"), "pinned")
            case "5", 4:
                assert "said" in shop.run("pushcli job output @last")
                [entry] = shop.chef.nodes[ORG, NODE]["normal"]["push_jobs"]["whitelist"]
                assert entry == "say"
            case "5", 5:
                shop.run("systemctl restart chef-push-jobs-client")
                shop.wait_available()
    assert "".join(done) == "112223455555", done


def test_what_comes_later_is_given_to_the_service_too(tmp_path: Path) -> None:
    toml = f'identity = "chef"\nchef_server_url = "https://{FQDN}"\nchef_key = "pivotal.pem"\n'
    place = "/var/lib/pushcli/server"
    with Machine(tmp_path / "machine", {}) as machine:
        machine.write(f"{place}/server.toml", toml, 0o600)
        made = machine.run("pushcli server init --no-tls; pushcli server install")
        assert f"Gave {place} to pushcli" in made.stdout, made
        machine.write(f"{place}/pivotal.pem", keys.private_pem(SUPERUSERS_KEY), 0o600)
        again = machine.run("pushcli server install")
        assert f"Gave {place} to pushcli" in again.stdout, again
        assert machine.run(f"find {place} -user root").stdout == ""
        assert "nothing was changed" in machine.run("pushcli server install").stdout
        # Its owner's, so root may say it again.
        assert "already holds a server" in machine.run("pushcli server init").stdout
