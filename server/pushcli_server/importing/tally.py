"""What is told of many things that were left out or changed: how many for each reason."""

import msgspec

MOST = 200
"""Different reasons; what is read may name its own."""
_OTHERS = "for other reasons"
_SHOWN = 100


class Count(msgspec.Struct, kw_only=True):
    """How many.

    Args:
        kind: `left out`, `changed`, `differs` or `note`.
        what: of which things: `jobs`, `users`.
        example: the first of them.
    """

    kind: str
    what: str
    why: str
    count: int
    example: str

    def __str__(self) -> str:
        which = f"{self.example}" if self.count == 1 else f"{self.count:,}, first {self.example}"
        return f"{self.kind}: {self.what}: {self.why}" + (f" ({which})" if self.example else "")


class Tally:
    """Counts by reason, in the order in which the reasons came."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], Count] = {}

    def add(self, kind: str, what: str, why: str, example: str = "") -> None:
        """One more."""
        key = (kind, what, why[: 2 * _SHOWN])
        if key not in self._counts and len(self._counts) >= MOST:
            key = (kind, what, _OTHERS)
        found = self._counts.get(key)
        if found is None:
            self._counts[key] = Count(
                kind=kind, what=what, why=key[2], count=1, example=example[:_SHOWN]
            )
        else:
            found.count += 1

    @property
    def counts(self) -> list[Count]:
        """What was counted."""
        return list(self._counts.values())
