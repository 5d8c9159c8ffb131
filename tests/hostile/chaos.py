"""What hostile peers make up, from one seed: numbers, texts, JSON, mutations of what is right."""

import json
import random
import string
from typing import Any

NUMBERS = [
    0, 1, -1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 10**30, 10**400,
    0.5, -0.0, 1e308, float("inf"), float("-inf"), float("nan"),
]  # fmt: skip
TEXTS = [
    "", "x", "..", "a/../b", "%00", "\0", "\n", "\r\nX: y", "\x1b[2J", "\x1b]0;x\x07", "'", '"',
    "; drop table jobs", "{}", "[]", "null", "\ud800", "\u202e", "é", "\U0001f4a3", " ", "*",
    "default", "_status", "sandbox", "operator's", "-1", "1e999",
]  # fmt: skip


class Chaos(random.Random):
    """A stream of bad ideas."""

    def text(self, longest: int = 200) -> str:
        """Some text; rarely a long one."""
        if self.random() < 0.5:
            return self.choice(TEXTS)
        if self.random() < 0.05:
            return self.choice("aé\0\x1b") * self.randrange(1, 100_000)
        return "".join(self.choices(string.printable, k=self.randrange(longest)))

    def junk(self, longest: int = 2000) -> bytes:
        """Some bytes."""
        return self.randbytes(self.randrange(longest))

    def value(self, depth: int = 3) -> Any:
        """Anything that JSON can say."""
        kind = self.randrange(8 if depth else 6)
        if kind == 6:
            return [self.value(depth - 1) for _ in range(self.randrange(5))]
        if kind == 7:
            return {self.text(20): self.value(depth - 1) for _ in range(self.randrange(5))}
        return [None, True, False, self.choice(NUMBERS), self.randrange(-1000, 1000), self.text()][
            kind
        ]

    def nested(self, depth: int) -> bytes:
        """JSON that is nested so deep."""
        opening, inner, closing = self.choice(
            [(b"[", b"1", b"]"), (b'{"a":', b"1", b"}"), (b'{"a":[', b"", b"]}")]
        )
        return opening * depth + inner + closing * self.choice([depth, depth, 0])

    def mutated(self, value: Any) -> Any:
        """The value with something in it replaced, removed, added or multiplied."""
        if isinstance(value, dict) and value and self.random() < 0.9:
            changed = dict(value)
            key = self.choice(list(changed))
            act = self.randrange(6)
            if act == 0:
                del changed[key]
            elif act == 1:
                changed[self.text(20)] = self.value()
            else:
                changed[key] = self.mutated(changed[key])
            return changed
        if isinstance(value, list) and value and self.random() < 0.8:
            if self.random() < 0.2:
                return value * self.choice([2, 10, 1000])
            changed_list = list(value)
            changed_list[self.randrange(len(value))] = self.mutated(self.choice(value))
            return changed_list
        return self.value()

    def body(self, example: Any) -> bytes:
        """A JSON body near the example, or far from it."""
        kind = self.random()
        if kind < 0.05:
            return self.junk()
        if kind < 0.1:
            return self.nested(self.choice([10, 500, 5000, 60_000]))
        written = json.dumps(self.mutated(example))
        if kind < 0.15:
            return written[: self.randrange(len(written) + 1)].encode()
        if kind < 0.2:
            return written.replace("1", "9" * self.choice([20, 400, 5000])).encode()
        return written.encode()
