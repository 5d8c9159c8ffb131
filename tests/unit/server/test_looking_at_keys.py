"""Whether the keys that admitted an agent still count, while something else admits it."""

import asyncio
from collections.abc import Callable
from typing import Any

from pushcli import keys
from pushcli_server.admission import AdmissionService
from pushcli_server.clock import Clock
from pushcli_server.core.admissions import Admission
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import NodeKey
from pushcli_server.settings import Settings
from tests.support.bare_engine import bare_engine

NODE = NodeKey("acme", "a")
GOOD = keys.public_pem(keys.generate())
GOOD_KEY = keys.fingerprint(keys.load_public_key(GOOD))


class Keys:
    """Those that an identity service answers with; something happens until the answer is here."""

    def __init__(self, found: list[str], meanwhile: Callable[[], object]) -> None:
        self._found, self._meanwhile = found, meanwhile

    async def client_keys(self, org: str, name: str) -> list[tuple[str, str]]:
        assert (org, name) == NODE
        self._meanwhile()
        return [(pem, "") for pem in self._found]


def left(found: list[str], admitted: str, meanwhile: str | None = None) -> frozenset[str]:
    """By which keys the node is admitted after a look."""
    fleet = Fleet(Rules())

    def admit(client_key: str) -> None:
        curve_key = f"with {client_key}"
        fleet.admissions.admit(curve_key, Admission(NODE, Clock().date() + 60, client_key))

    admit(admitted)
    nothing: Any = None
    identities: Any = Keys(found, lambda: admit(meanwhile) if meanwhile else None)
    service = AdmissionService(bare_engine(fleet), nothing, identities, Settings(), nothing, "1")
    asyncio.run(service.look_at_keys(NODE))
    return fleet.client_keys(NODE)


def test_a_key_that_counts_no_more_admits_no_more() -> None:
    assert left([GOOD], "stolen") == frozenset()
    assert left([GOOD], GOOD_KEY) == {GOOD_KEY}


def test_a_key_younger_than_the_answer_is_not_taken_for_a_revoked_one() -> None:
    assert left([GOOD], GOOD_KEY, meanwhile="young") == {GOOD_KEY, "young"}
    assert left([GOOD], "stolen", meanwhile="young") == {"young"}


def test_one_of_which_nobody_knows_by_which_key_it_was_admitted_stays() -> None:
    assert left([GOOD], "") == {""}
