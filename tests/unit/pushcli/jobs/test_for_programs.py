"""Jobs as programs get them."""

from pushcli.jobs.for_programs import job_as_data

AT = "Fri, 27 Nov 2026 09:08:30 GMT"


def test_every_moment_of_a_job_is_in_iso_8601() -> None:
    raw = {"id": "a", "created_at": AT, "updated_at": AT, "ended_at": AT, "duration": 1.0}
    at = "2026-11-27T09:08:30Z"
    assert job_as_data(raw) == {
        "id": "a", "created_at": at, "updated_at": at, "ended_at": at, "duration": 1.0
    }  # fmt: skip
