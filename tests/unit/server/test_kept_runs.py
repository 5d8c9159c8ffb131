"""What is to be run, kept and read back, and what old clients see of it."""

import json
from pathlib import Path

import msgspec
import pytest

from pushcli.protocol.run import OPTIONS, RunSpec
from pushcli_server import persistence, views
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.identity import JobKey
from pushcli_server.core.job_state import Grace, Job, JobSpec
from pushcli_server.feeds import Feeds
from pushcli_server.store import operations
from tests.unit.server.test_feeds import SetClock, Stored

FULL = RunSpec(
    command="ls", run_timeout=2.5, user="www", dir="/srv", env={"A": "1"}, file="raw:x",
    capture=True, exact_env=True, stdin="raw:in",
    secret_env={"TOKEN": "hidden"}, default_capture=True,
)  # fmt: skip


def job() -> Job:
    return Job(
        key=JobKey("acme", "1" * 32),
        spec=JobSpec(run=FULL, nodes=("a",), quorum=1, batch="0f" * 16, secret_names=("TOKEN",)),
        requestor="ann", created_at=0, updated_at=0, grace=Grace(),
    )  # fmt: skip


KEPT = [field for field in msgspec.structs.fields(RunSpec) if field.name != "secret_env"]


@pytest.mark.parametrize("field", KEPT, ids=lambda field: field.name)
def test_every_field_comes_back_from_the_store(field: msgspec.structs.FieldInfo) -> None:
    insert, _ = persistence.operations_of(on_fleet.SaveNewJob(job()), 0.0, Path)
    assert isinstance(insert, operations.InsertJob)
    back = persistence.stored(insert.job, insert.file, insert.stdin).run
    assert getattr(FULL, field.name) != getattr(RunSpec(command=""), field.name)
    assert getattr(back, field.name) == getattr(FULL, field.name)


def test_what_it_has_in_common_with_others_comes_back_too() -> None:
    insert, _ = persistence.operations_of(on_fleet.SaveNewJob(job()), 0.0, Path)
    assert isinstance(insert, operations.InsertJob)
    record = msgspec.structs.replace(insert.job, stdin_digest="0" * 64)
    kept = persistence.stored(record, stdin=insert.stdin)
    shown = {
        "exact_env": True, "batch": "0f" * 16, "stdin": True, "secret_env": ["TOKEN"],
        "capture": "default",
    }  # fmt: skip
    for one in (job(), kept, persistence.stored(record)):
        assert views.our_options(one) == {"pushcli": shown}
    for one in (job(), kept):
        whole = views.our_options(one, include_file=True)
        assert whole == {"pushcli": {**shown, "stdin": "raw:in"}}


@pytest.mark.parametrize("option", [*OPTIONS, "batch", "0f" * 16, "raw:in", "TOKEN", "hidden"])
def test_an_option_of_ours_is_shown_to_no_old_client(option: str) -> None:
    shown = views.job_with_nodes(job(), job().nodes)
    stored = Stored()
    Feeds(SetClock(), stored.submit, {}).record(on_fleet.Publish(job(), "start"))
    events = [one for one in stored if isinstance(one, operations.AppendEvent)]
    assert events
    for said in (json.dumps(shown), *map(str, events)):
        assert option not in said
        assert "pushcli" not in said


def test_what_is_secret_is_not_kept() -> None:
    insert, audit = persistence.operations_of(on_fleet.SaveNewJob(job()), 0.0, Path)
    assert isinstance(insert, operations.InsertJob)
    assert "hidden" not in f"{insert}{audit}"
    assert persistence.stored(insert.job).run.secret_env is None
    assert persistence.stored(insert.job).secret_names == ("TOKEN",)


def test_what_is_secret_is_shown_to_nobody() -> None:
    for include in (True, False):
        assert "hidden" not in json.dumps(views.our_options(job(), include_file=include))
