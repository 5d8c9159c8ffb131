"""What a run says of what it found."""

from tests.soak.report import Count, Series, counts, growing, slopes
from tests.soak.trend import Bound, Sample

SERIES = (Series("server memory", Bound(slope=30, noise=2)), Series("audit trail", None))
SAMPLES = {
    "server memory": [Sample(at, 100.0) for at in range(420)],
    "audit trail": [Sample(at, at / 60) for at in range(420)],
}
LEAKING = {**SAMPLES, "server memory": [Sample(at, 100 + at / 60) for at in range(420)]}
SAME = Count("server descriptors", before=500, after=503, slack=5)
MORE = Count("server descriptors", before=500, after=506, slack=5)


def test_a_run_in_which_nothing_grows_has_nothing_to_complain_of() -> None:
    assert growing(SERIES, SAMPLES, 60, [SAME]) == []
    assert "  flat" in slopes(SERIES, SAMPLES, 60)[1]
    assert counts([SAME])[1].endswith("flat")


def test_what_grows_is_named_with_its_figures() -> None:
    assert growing(SERIES, LEAKING, 60, [MORE]) == [
        "server memory grows by 60.0 MiB/h (at most 30): from 101.0 to 107.0 MiB in 6.0 min",
        "server descriptors at rest: 506, and 500 before",
    ]
    assert slopes(SERIES, LEAKING, 60)[1].split() == [
        "server", "memory", "101.0", "107.0", "+60.0", "+30", "GROWS",
    ]  # fmt: skip
    assert counts([MORE])[1].endswith("GROWS")


def test_what_has_no_bound_may_grow() -> None:
    assert slopes(SERIES, SAMPLES, 60)[2].split() == ["audit", "trail", "1.0", "7.0", "+60.0"]
