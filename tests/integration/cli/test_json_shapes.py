"""docs/json.md has the shape of every answer in JSON, and the commands keep to it."""

import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from pushcli import keys
from pushcli.cli import root
from pushcli.sandbox.sandbox import Sandbox
from pushcli.terminal.context import App
from tests.support.commands_tree import all_commands
from tests.support.fleet import Fleet
from tests.support.json_shapes import faults, json_blocks, shapes_of

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
"""One story: it starts a fleet, and asks it for everything."""

PAGE = (Path(__file__).parents[3] / "docs" / "json.md").read_text(encoding="utf-8")
SHAPES = shapes_of(PAGE)
LINE_SHAPES = json_blocks(PAGE.partition("## `pushcli")[0])
COMMANDS = {
    " ".join(path[1:]) for path, command in all_commands() if not isinstance(command, click.Group)
}
WITHOUT = {"sandbox", "server start", "agent start", "job wait", "help"}
"""Commands without such an answer."""
UNTRIED = {
    "whitelist edit", "completion install", "server forget-identities", "server use-chef",
    "server use-own", "server to-postgresql", "server join", "server list",
}  # fmt: skip
"""They start an editor, write into the home of whoever runs the tests, or have a Chef Infra Server
or a database beside them: those are tried with it.
"""
STORY = """
node status
node list
node show n1
node search name:n1 -a name
node search name:n1 -i
node search name:n1
job start --capture fail n1
job start -b true n1
job start --dry-run true n1
job start nosuch n1
job start --batch 1 true n1
job start --capture true n1
job status JOB
job list
job watch JOB
job output JOB n1
job output JOB n1 --channel both
job output JOB --diff
job retry JOB --all
job abort JOB
job abort --all
job freeze --reason x
job unfreeze
node pause n1 --reason x --for 1h
node status n1
node resume n1
node token create
node token list
agent enroll --node-name n2 --server URL --token TOKEN --dir PLACE/n2
agent editors list --dir PLACE/n2
agent editors add bob PLACE/public.pem --dir PLACE/n2
agent editors remove bob --dir PLACE/n2
agent rotate-key --dir PLACE/n2
node token create --uses 2
node token delete TOKEN_ID -y
whitelist list
whitelist add new 'echo new' n1
whitelist list n1
whitelist show n1 new
whitelist show n1 true
whitelist show n1 n2 new
whitelist test n1 n2 true
whitelist diff n1 n2
whitelist test n1 true
whitelist test n1 nosuch
whitelist copy --from n1 n1
whitelist remove new n1
whitelist editors add bob PLACE/public.pem
whitelist editors list
whitelist editors remove bob PLACE/public.pem
whitelist editors checkpoint
user create bob --key-file PLACE/bob.pem SUPERUSER
user list
user show bob SUPERUSER
user show operator
user key list operator
user key add operator --key-name k2 --expires 1h --public-key PLACE/public.pem
user key delete operator k2 -y
user remove bob -y
user add bob
user delete bob -y SUPERUSER
config add-profile x --server-url URL -u bob -k PLACE/bob.pem --no-check
client create ci --print-profile
client list
client show ci
client key list ci
client key add ci --key-name k2 --public-key PLACE/public.pem
client key delete ci k2 -y
client delete ci -y
group list
group create g
group add g --user operator
group show g
group remove g --user operator
group delete g -y
audit
audit --of-server SUPERUSER
completion bash
completion zsh
completion fish
server rotate-keys --dir SERVER
server prune --dir SERVER --dry-run
server backup PLACE/backup.tar --dir SERVER
server restore PLACE/backup.tar --dir PLACE/restored
server init --dir SERVER --org sandbox --admin operator
server install --dir SERVER --root PLACE/image
agent install --root PLACE/image --dry-run
server init --dir PLACE/server --org acme --admin ann --profile y
migrate agent PLACE/client.rb --dir PLACE/migrated -y
migrate server PLACE/server.rb --dir PLACE/prepared -y
migrate workstation PLACE/knife.rb --name knife --dry-run
migrate history URL --dir PLACE/restored --dry-run
migrate identities URL --dir PLACE/restored --dry-run
user rotate-key
node delete n1 -y
"""


def answer(fleet: Sandbox, line: str) -> Any:
    """What a command prints with `-F json`."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    app = App(stdout=out, stderr=io.StringIO(), stdin=None, env=fleet.environment)
    with root.make_context("pushcli", [*shlex.split(line), "-F", "json"], obj=app) as context:
        root.invoke(context)
    if "client" in app.__dict__:
        app.client.close()
    assert isinstance(out.buffer, io.BytesIO)
    return json.loads(out.buffer.getvalue())


def bare_moments(value: Any, where: str = "$") -> Iterator[str]:
    """Numbers that are a moment of these years, in seconds, or thousandths or millionths."""
    match value:
        case dict():
            for key, one in value.items():
                # Versions of entries and statements are an order, and no moments.
                if key != "version":
                    yield from bare_moments(one, f"{where}.{key}")
        case list():
            for place, one in enumerate(value):
                yield from bare_moments(one, f"{where}[{place}]")
        case int() | float() if any(1.5e9 < value / unit < 3e9 for unit in (1, 1e3, 1e6)):
            yield f"{where} is {value}"


def test_a_bare_moment_is_found() -> None:
    told = {"version": 1.7e15, "ok": ["2026-11-23T20:00:00Z", 17, True], "paused": [{"at": 1.7e9}]}
    assert [*bare_moments(told)] == ["$.paused[0].at is 1700000000.0"]


def test_every_command_has_its_section() -> None:
    assert set(SHAPES) == COMMANDS - WITHOUT
    assert all(SHAPES.values())


def test_the_story_asks_every_command_for_its_answer() -> None:
    told = {command for command in SHAPES for line in STORY.splitlines() if _is_of(line, command)}
    assert told == set(SHAPES) - UNTRIED


def _is_of(line: str, command: str) -> bool:
    return f"{line} ".startswith(f"{command} ")


def test_answers_have_the_shapes_that_are_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "public.pem").write_text(keys.public_pem(keys.generate()))
    (tmp_path / "client.rb").write_text("chef_server_url 'https://x/organizations/acme'\n")
    (tmp_path / "server.rb").write_text("opscode_pushy_server['vip'] = 'x.example.com'\n")
    (tmp_path / "knife.rb").write_text(
        "chef_server_url 'https://x/organizations/acme'\nnode_name 'a'\nclient_key '/a.pem'\n"
    )
    whitelist = {"true": "true", "fail": r"printf 'x\377'; exit 3"}
    wrong = []
    with Sandbox(tmp_path / "fleet", ["n1"], whitelist=whitelist) as fleet:
        # A few commands go by the home of the process.
        monkeypatch.setenv("HOME", fleet.environment["HOME"])
        superuser = fleet.server_directory / "keys" / "pivotal.pem"
        known = {
            "SUPERUSER": f"-u pivotal -k {superuser}", "PLACE": str(tmp_path), "URL": fleet.url,
            "SERVER": str(fleet.server_directory),
        }  # fmt: skip
        monkeypatch.chdir(tmp_path)
        for line in STORY.strip().splitlines():
            words = [known.get(word, word) for word in line.split(" ")]
            typed = " ".join(words).replace("PLACE/", f"{tmp_path}/")
            command = next(each for each in SHAPES if _is_of(line, each))
            said = answer(fleet, typed)
            if command == "job start" and "id" in said:
                known["JOB"] = said["id"]
            if command == "node token create":
                known |= {"TOKEN": said["token"], "TOKEN_ID": said["id"]}
            wrong += [(line, numbers) for numbers in [[*bare_moments(said)]] if numbers]
            found = [faults(said, shape) for shape in SHAPES[command]]
            if all(found):
                wrong.append((line, min(found, key=len)))
    assert wrong == []


LINES = """
job start --capture fail n1
job start --follow fail n1
job start fail n1 ghost --allow-unknown -q 1
job start --batch 1 fail n1
job watch
job output @last --follow
"""


def test_lines_of_json_have_no_bare_moments(tmp_path: Path) -> None:
    with Fleet(tmp_path / "fleet", ["n1"], whitelist={"fail": "echo x; exit 3"}) as fleet:
        fleet.wait_available(["n1"])
        for line in LINES.strip().splitlines():
            printed = fleet.cli(*line.split(), "-F", "ndjson").stdout.splitlines()
            assert printed, line
            for one in map(json.loads, printed):
                assert [*bare_moments(one)] == [], line
                assert line_faults(one) == [], line


def line_faults(line: dict[str, Any]) -> list[str]:
    """Where a line is not of the shape that docs/json.md has for its event."""
    match line.get("event"):
        case None:
            # The last of a job in batches.
            return faults(line, SHAPES["job start"][2])
        case "end":
            job = {key: value for key, value in line.items() if key not in {"event", "job"}}
            return faults(job, SHAPES["job start"][0])
        case "output":
            return faults(line, LINE_SHAPES[1])
        case _:
            return faults(line, LINE_SHAPES[0])
