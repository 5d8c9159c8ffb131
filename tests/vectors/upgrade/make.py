"""Makes the vectors of one version: what its programs leave on the disk, and what REST says.

Run by the Python of a checkout of that version's tag (see the README beside `vectors`):

    .venv/bin/python make.py OUT

Server, agents and command line run as processes below /tmp/pushcli-VERSION, once on SQLite and
once on PostgreSQL. At the end all of them are killed in the middle of their work.
"""

import base64
import getpass
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import psycopg
from pushcli.credentials import load_profile
from pushcli.http import SignedSession

# Where the tag has them: these do not follow what has moved since.
from pushcli import keys
from pushcli.client import ApiClient
from pushcli.errors import NotFound
from pushcli.sandbox import ORG, Fleet, end_all
from pushcli.whitelist import statements

POSTGRESQL = os.environ.get(
    "PUSHCLI_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432/postgres"
)
NODES = ("n1", "n2", "n3", "n4")
SECOND = "second"
"""Another organization, which has a node n1 of its own; its agent is called so here too."""
LATER = 4_000_000_000.0
"""In 2096: for times that would pass, in seconds since the epoch."""
TEN_YEARS = 315_360_000
WHITELIST = {
    "hello": 'echo "hello from $CHEF_PUSH_NODE_NAME"; echo oops >&2',
    "environment": "echo $A $CHEF_PUSH_JOB_ID; pwd; cat $CHEF_PUSH_JOB_FILE",
    "user": "id -un; pwd",
    "uneven": "case $CHEF_PUSH_NODE_NAME in n1) exit 3;; n2) kill -KILL $$;; esac",
    "big": "seq -s , 4000; printf '\\377\\376'; echo end >&2",
    "sleep": "sleep 60",
    "wait": 'echo begun; while [ ! -e "$GO" ]; do sleep 0.05; done; seq -s , 4000; echo done >&2',
}
PATHS = (
    "pushy/jobs", "pushy/whitelist", "pushy/whitelist_editors", "users", "users/bob", "groups",
    "groups/admins", "groups/deployers", "groups/pushy_job_writers", "clients",
    "clients/deployer", "clients/deployer/keys", "clients/n1", "nodes", "search/node?q=role:web",
    "tokens", "audit",
)  # fmt: skip
PATHS_OF_SECOND = ("pushy/jobs", "users", "clients", "nodes", "nodes/n1", "groups/admins")


def main(out: Path) -> None:
    """Make all vectors in OUT, which is replaced."""
    shutil.rmtree(out, ignore_errors=True)
    root = Path(f"/tmp/pushcli-{version('pushcli')}")
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    made = Vectors(root / "sqlite", out / "sqlite", None)
    made.make()
    (out / "statements.json").write_text(lines_of(made.statements, 2) + "\n")
    with database() as url:
        Vectors(root / "postgresql", out / "postgresql", url).make()
    check_neutral(out)
    shutil.rmtree(root)


class Vectors:
    """One server with its agents, from their beginning to their violent end.

    Args:
        out: where what is kept goes.
        database_url: None for SQLite, and then REST speaks TLS.
    """

    def __init__(self, directory: Path, out: Path, database_url: str | None) -> None:
        settings: dict[str, object] = {"lost_grace": 1}
        if database_url is not None:
            settings["database_url"] = database_url
        self.out = out
        self.url = database_url
        self.statements: dict[str, Any] = {}
        self.fleet = Fleet(
            directory, NODES, whitelist=WHITELIST, settings=settings, with_tls=database_url is None
        )
        self.go = directory / "go"
        self.captured: dict[str, tuple[str, ...]] = {}
        self.live: dict[str, Any] = {}

    def make(self) -> None:
        """Go through all of it."""
        try:
            self.begin()
            self.identities()
            self.whitelists()
            self.ended_jobs()
            self.neutral_facts()
            answers = self.answers()
            self.statements = self.signed()
            self.live_jobs()
        finally:
            self.fleet.stop()
        self.keep(answers)

    def begin(self) -> None:
        """Server and agents, with paths and settings that are the same on every machine."""
        fleet = self.fleet
        fleet.make_server()
        fleet.start_server()
        fleet.enroll(NODES)
        for node in NODES:
            file = fleet.agent_directory(node) / "agent.toml"
            file.with_suffix(".enrolled").unlink()
            absolute = f'"{fleet.agent_directory(node)}/files"'
            more = 'roles = ["web"]\ntags = ["blue"]\n' if node == "n1" else ""
            text = file.read_text().replace(f"file_dir = {absolute}", f'file_dir = "files"\n{more}')
            file.write_text(text)
            fleet.start_agent(node)
        fleet.wait_available(NODES)

    # --- what ended well, or otherwise

    def identities(self) -> None:
        """Users, clients, groups, tokens."""
        home = self.fleet.credentials.parent
        pivotal = ("-u", "pivotal", "-k", str(self.pivotal))
        for user in ("bob", "carol"):
            key = home / f"{user}.pem"
            self.run("user", "create", user, "--email", f"{user}@example.com", "--key-file",
                     str(key), *pivotal)  # fmt: skip
            public = keys.public_pem(keys.load_private_key(key))
            key.with_suffix(".pub").write_text(public)
        self.run("group", "add", "admins", "--user", "bob")
        self.run("client", "create", "deployer", "--key-file", str(home / "deployer.pem"))
        self.run("client", "key", "add", "deployer", "--key-name", "next", "--key-file",
                 str(home / "deployer-next.pem"))  # fmt: skip
        self.run("group", "create", "deployers")
        self.run("group", "add", "deployers", "--client", "deployer")
        for group in ("pushy_job_readers", "pushy_job_writers"):
            self.run("group", "add", group, "--group", "deployers", "--user", "bob")
        token = self.run("node", "token", "create", "--uses", "20", "--expires", "30d")
        keys.write_secret(home / "enroll.token", token.encode())
        self.profiles(home)
        self.second_organization(home, pivotal)

    def second_organization(self, home: Path, pivotal: tuple[str, ...]) -> None:
        """Its administrator dora, and its node n1."""
        fleet = self.fleet
        superuser = msgspec.structs.replace(
            fleet.profile, client_name="pivotal", client_key=str(self.pivotal)
        )
        session = SignedSession(superuser)
        answer = session.request("POST", "/organizations", body=b'{"name": "second"}')
        session.close()
        validator = fleet.directory / "validator.pem"
        keys.write_secret(validator, answer.json()["private_key"].encode())
        there = ("--server-url", self.url_of_second)
        key = str(home / "dora.pem")
        pin = ("--fingerprint", fleet.profile.fingerprint) if fleet.profile.fingerprint else ()
        self.run("user", "create", "dora", "--key-file", key, *there, *pin, *pivotal)
        for group in ("admins", "pushy_job_readers", "pushy_job_writers"):
            self.run("group", "add", group, "--user", "dora", *there, *pin, *pivotal)
        self.run(
            "agent", "enroll", "--server", self.url_of_second, "--validator", str(validator),
            "--node-name", "n1", "--dir", str(fleet.agent_directory(SECOND)), *pin,
        )  # fmt: skip
        fleet.write_agent_settings(SECOND, WHITELIST)
        fleet.start_agent(SECOND)
        with closing(self.second()) as api:
            until(lambda: api.node_state("n1")["availability"] == "available")
            job = api.start_job({"command": "hello", "nodes": ["n1"], "capture_output": True})
            until(lambda: api.job(job)["status"] == "complete")

    @property
    def pivotal(self) -> Path:
        """The superuser's key."""
        return self.fleet.server_directory / "keys/pivotal.pem"

    @property
    def url_of_second(self) -> str:
        """The second organization's."""
        return self.fleet.url.removesuffix(ORG) + SECOND

    def second(self) -> ApiClient:
        """Signs as dora, in the second organization."""
        return ApiClient(load_profile(SECOND, {}, config=self.fleet.credentials))

    def profiles(self, home: Path) -> None:
        """Beside the one that `server init` made: a relative key, and a key in the file."""
        file = self.fleet.credentials
        profile = self.fleet.profile
        pin = f'fingerprint = "{profile.fingerprint}"\n' if profile.fingerprint else ""
        more = ""
        inline = f"'''\n{(home / 'deployer.pem').read_text()}'''"
        for name, user, key, url in (
            ("bob", "bob", '"bob.pem"', self.fleet.url),
            ("deployer", "deployer", inline, self.fleet.url),
            (SECOND, "dora", '"dora.pem"', self.url_of_second),
        ):
            more += f'\n[{name}]\nclient_name = "{user}"\nclient_key = {key}\n'
            more += f'chef_server_url = "{url}"\n{pin}'
        with file.open("a") as content:
            content.write(more)

    def whitelists(self) -> None:
        """Entries of two signers, one removed, and editors that came and went."""
        home = self.fleet.credentials.parent
        some = NODES[:3]
        self.run("whitelist", "add", "greet", "echo greetings", *some)
        self.run("whitelist", "add", "gone", "echo gone", *some)
        self.run("whitelist", "remove", "gone", *some)
        self.run("whitelist", "add", "--pattern", "say (.*)", r"printf '%s.' \1", "n1", "n2")
        self.run("whitelist", "add", "--no-shell", "list", "echo one two", "n1", "--timeout", "30",
                 "--description", "a list", "--operator", "operator")  # fmt: skip
        for user in ("bob", "carol"):
            self.run("whitelist", "editors", "add", user, str(home / f"{user}.pub"), "-y")
        self.run("whitelist", "editors", "remove", "carol", "-y")
        self.run("whitelist", "add", "of-bob", "echo bob", *some, "--profile", "bob")

    def ended_jobs(self) -> None:
        """Every way in which a job, and a node's part in it, can end."""
        both = ("n1", "n2")
        self.job("hello", *both, capture_output=True, ends="complete")
        user = "nobody" if os.geteuid() == 0 else getpass.getuser()
        pwd.getpwnam(user)
        self.job("environment", *both, capture_output=True, ends="complete", dir="/usr",
                 env={"A": "b c", "U": "ö"}, file="raw:the file: ä\n")  # fmt: skip
        self.job("user", *both, capture_output=True, ends="complete", dir="/", user=user)
        file = base64.b64encode(bytes(range(256))).decode()
        self.job("big", "n1", capture_output=True, ends="complete", file=f"base64:{file}")
        self.job("uneven", "n1", "n2", "n3", ends="complete")
        self.job("hello", "n3", "nosuch", quorum=1, ends="complete")
        self.job("say 'it'; $(true)", *both, quorum=2, capture_output=True, ends="complete")
        self.job("not there", *both, ends="quorum_failed")
        self.job("hello", "n1", "nosuch", ends="quorum_failed")
        self.job("sleep", "n2", run_timeout=1, ends="timed_out")
        self.fleet.wait_available(NODES)
        aborted = self.job("sleep", *both, capture_output=True, ends="running")
        until(lambda: self.fleet.api.job(aborted)["nodes"].get("running") == [*both])
        self.fleet.api.abort_job(aborted)
        self.fleet.wait_available(NODES)
        self.late_result()

    def late_result(self) -> None:
        """A node that was given up comes back with its result."""
        late = self.job("wait", "n4", capture_output=True, env={"GO": str(self.go)}, ends="running")
        spool = self.fleet.agent_directory("n4") / "spool" / late
        until(lambda: self.fleet.api.job(late)["nodes"].get("running"))
        self.fleet.end_agent("n4", signal.SIGKILL)
        self.is_job(late, "complete")
        self.go.touch()
        until((spool / "result.json").exists)
        self.fleet.start_agent("n4")
        self.fleet.wait_available(["n4"])
        until(lambda: not spool.exists())
        self.go.unlink()

    def neutral_facts(self) -> None:
        """Replace what the agents say of this machine."""
        with closing(self.second()) as second:
            for api, node in (*((self.fleet.api, node) for node in NODES), (second, "n1")):
                found = api.get(f"nodes/{node}")
                own = {"roles": ["web"], "tags": ["blue"]} if node == "n1" else {}
                found["automatic"] = {
                    "os": "linux", "platform": "debian", "hostname": node, "cpu": {"total": 4},
                    "fqdn": f"{node}.example.com", "ipaddress": "192.0.2.1", **own,
                }  # fmt: skip
                api.put(f"nodes/{node}", found)

    # --- what was under way

    def live_jobs(self) -> None:
        """One runs, two vote; then everything is killed."""
        fleet, api = self.fleet, self.fleet.api
        running = self.job(
            "wait", "n1", "n2", run_timeout=TEN_YEARS, capture_output=True, ends="running",
            env={"GO": str(self.go)}, file="raw:live\n",
        )  # fmt: skip
        until(lambda: api.job(running)["nodes"].get("running") == ["n1", "n2"])
        spools = {n: fleet.agent_directory(n) / "spool" / running for n in ("n1", "n2")}
        until(lambda: all(has_begun(spool) for spool in spools.values()))
        for node in ("n3", "n4", SECOND):
            os.kill(fleet.pid(node), signal.SIGSTOP)
        voting, expired = (
            self.job("hello", node, capture_output=True, file="raw:vote\n", ends="voting")
            for node in ("n3", "n4")
        )
        with closing(self.second()) as second:
            elsewhere = second.start_job({"command": "hello", "nodes": ["n1"]})
        fleet.end_server(signal.SIGKILL)
        fleet.end_agent("n1", signal.SIGKILL)
        kill_supervisor(spools["n1"])
        self.go.touch()
        until((spools["n2"] / "result.json").exists)
        for node in (*NODES[1:], SECOND):
            fleet.end_agent(node, signal.SIGKILL)
        end_all(fleet.directory)
        self.live = {"running": running, "voting": voting, "expired": expired}
        self.live[SECOND] = elsewhere

    # --- what is kept

    def answers(self) -> dict[str, Any]:
        """What REST says, by path; `output` in base64 by job, node and channel."""
        api = self.fleet.api
        jobs = [job["id"] for job in api.jobs()]
        paths = [*PATHS, *(f"nodes/{node}" for node in NODES)]
        paths += [f"pushy/whitelist/{node}" for node in NODES]
        for job in jobs:
            paths += [f"pushy/jobs/{job}?include_file=true", f"pushy/jobs/{job}/nodes"]
        said = {}
        for path in paths:
            place, _, query = path.partition("?")
            said[path] = api.get(place, dict(parse_qsl(query)))
        for token in said["tokens"]:
            token["expires_at"] = LATER
        output = {
            f"{job}/{node}/{channel}": self.output(job, node, channel)
            for job, nodes in self.captured.items()
            for node in nodes
            for channel in ("stdout", "stderr")
        }
        with closing(self.second()) as second:
            said_there = {path: second.get(path) for path in PATHS_OF_SECOND}
        return {"answers": said, SECOND: said_there, "output": output}

    def output(self, job: str, node: str, channel: str) -> str | None:
        """Captured output in base64; None: REST has none."""
        try:
            return base64.b64encode(self.fleet.api.job_output(job, node, channel)).decode()
        except NotFound:
            return None

    def signed(self) -> dict[str, Any]:
        """Entries, removals and editors' statements with what verifies them."""
        home = self.fleet.credentials.parent
        found: dict[str, Any] = {"org": ORG, "keys": {}, "entries": [], "removals": []}
        for file in (self.fleet.server_directory / "keys/operator.pem", home / "bob.pem"):
            key = keys.load_private_key(file)
            found["keys"][statements.fingerprint(key)] = keys.public_pem(key)
        for node in NODES[:3]:
            said = self.fleet.api.get(f"nodes/{node}")["normal"]["push_jobs"]
            for name, record in said["whitelist_signatures"].items():
                one = {"node": node, "name": name, "record": record}
                if record.get("removed"):
                    found["removals"].append(one)
                else:
                    found["entries"].append({**one, "value": said["whitelist"][name]})
        found["editors"] = self.fleet.api.get("pushy/whitelist_editors")["statements"]
        return found

    def keep(self, answers: dict[str, Any]) -> None:
        """Copy what another version has to go on with."""
        fleet = self.fleet
        content = self.dump()
        self.out.mkdir(parents=True)
        ignored = shutil.ignore_patterns("pushcli.db*", "agent.lock", "*.new", "incoming")
        for part in ("server", "home"):
            shutil.copytree(fleet.directory / part, self.out / part, ignore=ignored)
        for node in NODES[:3]:
            place = fleet.agent_directory(node).relative_to(fleet.directory)
            shutil.copytree(fleet.directory / place, self.out / place, ignore=ignored)
        (self.out / "server" / "database.sql").write_text(content)
        (self.out / "rest.json").write_text(lines_of({**answers, "live": self.live}, 2) + "\n")
        settings = self.out / "server" / "server.toml"
        settings.write_text(settings.read_text().replace("lost_grace = 1\n", "lost_grace = 300\n"))
        for file in self.out.rglob("*"):
            if file.is_file():
                self.with_placeholders(file)

    def with_placeholders(self, file: Path) -> None:
        """Take out what is another on each machine."""
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            return
        api, commands, heartbeats = self.fleet.ports
        there = {
            str(self.fleet.directory): "@DIR@",
            f"127.0.0.1:{api}": "127.0.0.1:@API_PORT@",
            f"\napi_port = {api}": "\napi_port = @API_PORT@",
            f"\ncommand_port = {commands}": "\ncommand_port = @COMMAND_PORT@",
            f"\nserver_heartbeat_port = {heartbeats}": "\nserver_heartbeat_port = @HEARTBEAT_PORT@",
            self.url or "@": "@DATABASE_URL@" if self.url else "@",
        }
        new = text
        for found, placeholder in there.items():
            new = new.replace(found, placeholder)
        if new != text:
            file.write_text(new)

    def dump(self) -> str:
        """The database as SQL; times that would pass are moved before, most to 2096."""
        changes = (
            f"UPDATE jobs SET voting_deadline = {LATER} WHERE status = 'voting'",
            f"UPDATE jobs SET voting_deadline = created_at WHERE id = '{self.live['expired']}'",
            f"UPDATE tokens SET expires_at = {LATER}",
        )
        if self.url is not None:
            with psycopg.connect(self.url, autocommit=True) as connection:
                for change in changes:
                    connection.execute(change.encode())
            return dump_postgresql(self.url)
        file = sqlite3.connect(self.fleet.server_directory / "pushcli.db")
        try:
            for change in changes:
                file.execute(change)
            file.commit()
            return "\n".join(file.iterdump()) + "\n"
        finally:
            file.close()

    # --- small change

    def run(self, *arguments: str) -> str:
        """The command line, which succeeds."""
        done = self.fleet.cli(*arguments)
        if done.returncode:
            raise SystemExit(f"pushcli {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def job(self, command: str, *nodes: str, ends: str, **more: Any) -> str:
        """Start a job and wait until its status is `ends`."""
        job = self.fleet.api.start_job({"command": command, "nodes": list(nodes), **more})
        self.is_job(job, ends)
        if more.get("capture_output") and ends in ("complete", "running"):
            self.captured[job] = nodes
        return job

    def is_job(self, job: str, status: str) -> None:
        """Wait for a status."""
        until(lambda: self.fleet.api.job(job)["status"] == status, f"{job} is {status}", 12)


def has_begun(spool: Path) -> bool:
    """Whether the command of `wait` runs."""
    stdout = spool / "stdout"
    return stdout.exists() and stdout.read_bytes() == b"begun\n"


def kill_supervisor(spool: Path) -> None:
    """Kill it, and only then its command, so that nothing is left of how that ended."""
    pid = int((spool / "lock").read_text().split()[0])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    os.kill(pid, signal.SIGKILL)
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def until(condition: Callable[[], Any], what: str = "it is so", limit: float = 30) -> None:
    """Wait."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {limit} s: {what}")
        time.sleep(0.02)


@contextmanager
def database() -> Iterator[str]:
    """A new database of PostgreSQL; its URL."""
    name = "pushcli_make"
    with psycopg.connect(POSTGRESQL, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"')
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield POSTGRESQL.rpartition("/")[0] + f"/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def dump_postgresql(url: str) -> str:
    """`pg_dump`, without what other versions of PostgreSQL do not know."""
    options = ("--no-owner", "--no-privileges", "--inserts", "--rows-per-insert=100")
    text = subprocess.run(
        ["pg_dump", *options, url], capture_output=True, check=True, text=True
    ).stdout
    left_out = ("-- ", "\\restrict", "\\unrestrict", "SET transaction_timeout")
    lines = [line for line in text.splitlines() if not line.startswith(left_out) and line != "--"]
    return "\n".join(lines).strip() + "\n"


def lines_of(value: Any, depth: int) -> str:
    """JSON with a line for each value that is so deep."""
    if depth == 0 or not isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    members = (f"{lines_of(key, 0)}: {lines_of(one, depth - 1)}" for key, one in value.items())
    return "{\n" + ",\n".join(members) + "\n}"


def check_neutral(out: Path) -> None:
    """Nothing of this machine."""
    own = {socket.gethostname(), socket.getfqdn(), str(Path.home()), str(Path.cwd()), sys.prefix}
    names = "|".join(re.escape(name) for name in own - {"localhost", "/", "/tmp"})
    # Not in the middle of base64.
    pattern = re.compile(rf"(?<![A-Za-z0-9+/])({names})(?![A-Za-z0-9+])".encode())
    for file in out.rglob("*"):
        if file.is_file() and (found := pattern.search(file.read_bytes())):
            raise SystemExit(f"{file} names {found[0].decode()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
