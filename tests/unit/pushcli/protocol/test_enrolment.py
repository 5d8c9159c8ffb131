"""The proof that goes with a token holds for one key, one node, one token."""

from pushcli import keys
from pushcli.protocol import enrolment


def test_the_proof_holds_for_just_this_enrolment() -> None:
    key, other = keys.generate(), keys.generate()
    proof = enrolment.prove(key, org="acme", name="web01", token="ID.SECRET")

    def proves(of: object = key, **changed: str) -> bool:
        said = {"org": "acme", "name": "web01", "token": "ID.SECRET", **changed}
        pair = key if of is key else other
        return enrolment.proves(pair.public_key(), proof, **said)

    assert proves()
    assert not proves(other)
    assert not proves(org="acme2")
    assert not proves(name="web02")
    assert not proves(token="ID.OTHER")
    assert not enrolment.proves(key.public_key(), "no base64!", org="acme", name="w", token="t")
