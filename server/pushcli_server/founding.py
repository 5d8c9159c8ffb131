"""What an organization begins with."""

from pushcli_server.rest.rights import ADMINS, READERS, WRITERS
from pushcli_server.store import operations
from pushcli_server.store.identities import EVERYBODY

GROUPS = (ADMINS, "billing-admins", READERS, WRITERS, EVERYBODY)


def validator_name(org: str) -> str:
    """Of the client that may register nodes."""
    return f"{org}-validator"


def founding(org: str, validator_key: str | None) -> list[operations.Operation]:
    """The organization with its validator and its groups, which are empty.

    Args:
        validator_key: PEM; None: it gets no validator, nodes enroll with tokens.
    """
    made: list[operations.Operation] = [operations.CreateOrganization(org)]
    if validator_key is not None:
        made.append(
            operations.CreateClient(
                org=org, name=validator_name(org), public_key=validator_key, validator=True
            )
        )
    made += [operations.CreateGroup(org, group) for group in GROUPS]
    return made
