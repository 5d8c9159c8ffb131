"""Jobs as programs get them."""

import pytest

from pushcli.jobs.for_programs import event_as_data, job_as_data

AT = "Fri, 27 Nov 2026 09:08:30 GMT"


def test_every_moment_of_a_job_is_in_iso_8601() -> None:
    raw = {"id": "a", "created_at": AT, "updated_at": AT, "ended_at": AT, "duration": 1.0}
    at = "2026-11-27T09:08:30Z"
    assert job_as_data(raw) == {
        "id": "a", "created_at": at, "updated_at": at, "ended_at": at, "duration": 1.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'{"timestamp": "2026-11-27 09:08:30.995958Z", "node": "a"}',
         {"at": "2026-11-27T09:08:30.996Z", "node": "a"}),
        (b'{"timestamp": "2026-11-27 09:08:30.000000Z"}', {"at": "2026-11-27T09:08:30Z"}),
        (b'{"timestamp": "soon"}', {}),
        (b'{"timestamp": 5}', {}),
        (b"no JSON", {}),
    ],
)  # fmt: skip
def test_an_event_is_an_object_with_its_time_in_milliseconds(
    data: bytes, told: dict[str, str]
) -> None:
    assert event_as_data("8" * 32, "run_start", data) == {
        "event": "run_start", "job": "8" * 32, **told
    }  # fmt: skip
