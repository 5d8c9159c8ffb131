"""Our own whitelists and those of a Chef Infra Server that answers for some nodes, or none."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli_server.chef import copying, whitelists
from pushcli_server.settings import Settings
from tests.support.chef_server import ChefServer, chef_server
from tests.support.identities import KEYS

ORG = "sandbox"
REMOVAL = {"signer": "ann", "key": "k", "version": 7, "signature": "s", "removed": True}
WHITELIST = '{"push_jobs":{"whitelist":{"greet":"true"}}}'


@pytest.fixture
def chef() -> Iterator[ChefServer]:
    with chef_server(KEYS[3].public_key()) as chef:
        yield chef


def ours(count: int) -> copying.Whitelists:
    attributes = whitelists.own_attributes("{}", WHITELIST, "{}")
    assert attributes is not None
    return {ORG: {f"n{number:03}": attributes for number in range(count)}}


def beside(chef: ChefServer, directory: Path) -> Settings:
    keys.write_private_key(directory / "pivotal.pem", KEYS[3])
    return Settings(identity="chef", chef_server_url=chef.url, chef_key="pivotal.pem")


def test_while_there_is_no_answer_the_others_are_not_asked_for(
    tmp_path: Path, chef: ChefServer
) -> None:
    chef.fault = "failing"
    found = copying.look(beside(chef, tmp_path), tmp_path, ours(100))[ORG]
    assert len(found.failed) == 100
    assert 16 <= chef.asked.total() < 32
    assert "the ones before it had no answer" in found.failed["n099"]


def test_single_nodes_without_an_answer_stop_no_other(tmp_path: Path, chef: ChefServer) -> None:
    config, own = beside(chef, tmp_path), ours(100)
    for number in range(100):
        chef.edit(ORG, f"n{number:03}")
        if number % 2:
            path = f"/organizations/{ORG}/nodes/n{number:03}"
            chef.instead["GET", path] = (500, b"no")
    looked = copying.look(config, tmp_path, own)
    assert (len(looked[ORG].differences), len(looked[ORG].failed)) == (50, 50)
    copied = copying.copy(config, tmp_path, own, looked)
    assert (len(copied[ORG].copied), len(copied[ORG].failed)) == (50, 50)
    assert copied[ORG].differences == {}
    puts = sum(method == "PUT" for _, method, _ in chef.signers)
    # By another hand meanwhile: it is read again right before it is written.
    copying.copy(config, tmp_path, own, looked)
    assert sum(method == "PUT" for _, method, _ in chef.signers) == puts == 50


@pytest.mark.parametrize("content", [
    b'{"name":"n001","normal":{"\xff":1}}', b'{"name":"n001","\xff":1}',
    b'{"name":"n001","normal":{"push_jobs":{"\xff":1}}}',
])  # fmt: skip
def test_a_node_that_is_not_text_stops_no_other(
    tmp_path: Path, chef: ChefServer, content: bytes
) -> None:
    for number in range(3):
        chef.edit(ORG, f"n{number:03}")
    chef.instead["GET", f"/organizations/{ORG}/nodes/n001"] = (200, content)
    config, own = beside(chef, tmp_path), ours(3)
    looked = copying.look(config, tmp_path, own)
    assert [*looked[ORG].failed] == ["n001"]
    assert copying.copy(config, tmp_path, own, looked)[ORG].copied == ["n000", "n002"]


def test_what_changed_meanwhile_is_not_told_as_copied(tmp_path: Path, chef: ChefServer) -> None:
    config, own = beside(chef, tmp_path), ours(4)
    for number in range(3):
        chef.edit(ORG, f"n{number:03}")
    looked = copying.look(config, tmp_path, own)
    # n003 is not there: there is nothing to ask about it.
    assert copying.to_write(looked) == {ORG: ["n000", "n001", "n002"]}
    del chef.nodes[ORG, "n001"]
    theirs = {"push_jobs": {"whitelist": {"greet": "echo theirs"}}}
    chef.edit(ORG, "n002", normal=theirs)
    copied = copying.copy(config, tmp_path, own, looked)[ORG]
    assert copied.copied == ["n000"]
    assert not copied.differences["n001"].there
    assert copied.differences["n002"].differs == ["greet"]
    assert chef.nodes[ORG, "n002"]["normal"] == theirs


def test_a_signed_removal_alone_is_put_there(tmp_path: Path, chef: ChefServer) -> None:
    normal = {"push_jobs": {"whitelist": {}, "whitelist_signatures": {"gone": REMOVAL}}}
    attributes = whitelists.own_attributes("{}", json.dumps(normal), "{}")
    assert attributes is not None
    config, own = beside(chef, tmp_path), {ORG: {"n000": attributes}}
    chef.edit(ORG, "n000")
    looked = copying.look(config, tmp_path, own)
    assert looked[ORG].differences["n000"].removals == ["gone"]
    copied = copying.copy(config, tmp_path, own, looked)[ORG]
    assert (copied.copied, copied.differences, copied.failed) == (["n000"], {}, {})
    stored = chef.nodes[ORG, "n000"]["normal"]["push_jobs"]
    assert stored["whitelist_signatures"] == {"gone": REMOVAL}


def test_a_refusal_is_an_answer(tmp_path: Path, chef: ChefServer) -> None:
    for number in range(100):
        path = f"/organizations/{ORG}/nodes/n{number:03}"
        refusal: tuple[int, object] = (403, {"error": ["no"]})
        chef.instead["GET", path] = (500, b"no") if number % 2 else refusal
    found = copying.look(beside(chef, tmp_path), tmp_path, ours(100))[ORG]
    assert (len(found.failed), chef.asked.total()) == (100, 100)
    assert not any("not asked for" in why for why in found.failed.values())
