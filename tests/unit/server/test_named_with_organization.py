"""Whoever is named is named with his organization, down to the questions put to the store."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest

import pushcli_server.store as package
from pushcli_server.store import operations

QUESTIONS = ("reads", "signatures", "search", "chef_nodes")
"""What the names of modules with questions end with."""
OF_THE_SERVER = {
    "reads.nothing", "reads.live_jobs", "reads.nodes", "reads.feed_events",
    "identity_reads.organizations", "identity_reads.organization_exists",
    "identity_reads.all_users", "identity_reads.session_salts", "identity_reads.allows_chef",
    # Of the audit trail outside of the organizations.
    "reads.was_joined",
    # Users are the server's: their names say all.
    "identity_reads.user", "identity_reads.user_exists",
    # It is given pairs of organization and name.
    "identity_reads.existing_clients",
    # Read when the server starts; each row names its organization.
    "brake_reads.freezes", "brake_reads.pauses",
    "signatures.since", "signatures.find",
    # Retention is the whole server's; ids are those that the first of these found.
    "retention_reads.oldest_with_output", "retention_reads.output_of_jobs",
    "retention_reads.stored_output", "retention_reads.oldest_jobs",
    "retention_reads.count_of_jobs", "retention_reads.oldest_audit",
    "retention_reads.count_of_audit", "retention_reads.newest_before",
    "retention_reads.newest_own_before",
}  # fmt: skip
BY_A_JOBS_ID = {
    # Made by the fleet, which looks jobs up with their organization, from ids of our own making.
    "InsertJob", "UpdateJob", "UpdateJobNodes", "StoreOutput", "AppendOutput", "JoinTail",
    "LateResult", "AppendEvent", "DropEvents",
}  # fmt: skip
OF_THE_WHOLE_SERVER = {
    # What no job of any organization refers to.
    "DropUnusedBlobs",
    # Of files, by digest, that a killed run left.
    "ClearLeftovers",
    # What is oldest, of all organizations.
    "DeleteOutput", "DeleteJobs", "DeleteAudit",
    "CreateOrganization", "CreateUser", "UpdateUser", "DeleteUser", "ForgetSignatures",
    "AllowChef", "RefuseChef",
}  # fmt: skip
IN_A_RECORD = {"SaveNode", "PutNode", "Audit", "CreateToken", "RememberSignature"}


def questions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for found in pkgutil.iter_modules(package.__path__):
        if found.ispkg:
            continue
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            first = next(iter(inspect.signature(function).parameters), "")
            public = not name.startswith("_") and function.__module__ == module.__name__
            if public and first == "connection" and found.name.endswith(QUESTIONS):
                yield f"{found.name}.{name}", function


def test_they_are_found() -> None:
    assert {name for name, _ in questions()} > OF_THE_SERVER | {
        "output_reads.output",
        "search.names",
    }


@pytest.mark.parametrize(("name", "question"), list(questions()))
def test_a_question_about_what_belongs_to_an_organization_names_it(
    name: str, question: Callable[..., Any]
) -> None:
    parameters = inspect.signature(question).parameters
    assert "org" in parameters or name in OF_THE_SERVER


@pytest.mark.parametrize("operation", get_args(operations.Operation))
def test_so_does_a_change(operation: type[Any]) -> None:
    if operation.__name__ not in BY_A_JOBS_ID | OF_THE_WHOLE_SERVER | IN_A_RECORD:
        assert "org" in operation.__struct_fields__
