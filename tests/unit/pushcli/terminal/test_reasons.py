from datetime import UTC, datetime

import pytest

from pushcli.terminal.reasons import in_short, pinning, remedy

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
FINGERPRINT = "SHA256:" + "A" * 43


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> None:
    import time  # noqa: PLC0415

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("offline since 2026-11-27T08:14Z", "offline since 09:14"),
        ("offline since 2026-11-26T22:59Z", "offline since 2026-11-26 23:59"),
        ("offline since 2026-99-26T22:59Z", "offline since 2026-99-26T22:59Z"),
        (f"busy with job {'77aa01c2' * 4} of bob since 2026-11-27T08:14Z",
         "busy with job 77aa01c2 of bob since 09:14"),
        ("paused by ann: disk", "paused by ann: disk"),
    ],
)  # fmt: skip
def test_people_read_moments_by_their_clock_and_jobs_by_eight_digits(
    reason: str, shown: str
) -> None:
    assert in_short(reason, NOW) == shown


def test_an_editor_who_is_missing_can_be_added() -> None:
    reason = (
        f"its entry 'x' is not in force: signed by carol with {FINGERPRINT}, "
        "which is not an editor's key on this node"
    )
    assert remedy(reason) == "pushcli whitelist editors add carol"
    assert remedy(reason.replace("carol", "$(reboot)")) is None
    assert remedy("offline") is None
    assert pinning(reason) == "pushcli agent editors add carol FILE"
    assert pinning(reason.replace("carol", "$(reboot)")) is None
