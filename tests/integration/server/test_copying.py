"""Our own whitelists and those of a Chef Infra Server that answers for some nodes, or none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli_server.chef import copying, whitelists
from pushcli_server.settings import Settings
from tests.support.chef_server import ChefServer, chef_server
from tests.support.identities import KEYS

ORG = "sandbox"
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
