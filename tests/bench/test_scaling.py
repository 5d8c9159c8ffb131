"""The page about what a fleet costs."""

from tests.bench.scaling import Figures, page

SMALL = Figures(
    nodes=1000, floor=0.1, configured=6.0, rest=0.03, job=0.4, job_used=0.31, captured=0.5,
    single=150.2, memory=150.0, back=2.0,
)  # fmt: skip
LARGE = Figures(
    nodes=10_000, floor=1.25, configured=60.0, rest=0.35, job=5.0, job_used=3.2, captured=6.0,
    single=120.0, memory=900.0, back=8.0,
)  # fmt: skip


def test_it_has_a_column_for_each_fleet_and_says_how_it_is_made_again() -> None:
    text = page(
        [SMALL, LARGE], kind="simulated agents like ours", database="SQLite", interval=1.0,
        rounds=5, machine="two cores", options="--save docs/scaling.md",
    )  # fmt: skip
    assert "| nodes | 1,000 | 10,000 |" in text
    assert "| ... in rounds of the floor | 4.0 | 4.0 |" in text
    assert "| at rest, of a core | 3.0% | 35.0% |" in text
    assert 'make bench-fleet N="1000 10000" FLEET="--save docs/scaling.md"' in text
    assert 'x-axis "nodes" ["1,000", "10,000"]' in text
    assert "line [0.40, 5.00]\n    line [0.10, 1.25]" in text
    assert text.count("```mermaid") == 4
