"""How deep JSON may be nested, and how much may stand in it, before it is read.

Whoever walks what came from outside can then do it by recursion, and none of it becomes many
times as large in memory as it was on the wire.
"""

import re

MAX_DEPTH = 100
"""Objects and lists within each other; Chef's own tools read no more."""
MAX_VALUES = 100_000
"""In one document."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")


class TooNested(ValueError):
    """The document is deeper or fuller than anything sensible; the text says how."""


def require_bounded(document: bytes, depth: int = MAX_DEPTH, values: int = MAX_VALUES) -> None:
    """Look at a JSON document without reading it; one that is not JSON may pass.

    Raises:
        TooNested: it is nested more than `depth` deep, or has more than `values` values.
    """
    # Nearly all have fewer brackets than may stand within each other, and fewer commas.
    opened = document.count(b"[") + document.count(b"{")
    if opened <= depth and opened + document.count(b",") <= values:
        return
    plain = _STRING.sub(b"", document)
    opened = plain.count(b"[") + plain.count(b"{")
    if opened + plain.count(b",") > values:
        raise TooNested(f"more than {values} values")
    if opened > depth and _depth_exceeds(plain.translate(None, _NO_BRACKETS), depth):
        raise TooNested(f"nested more than {depth} deep")


def _depth_exceeds(brackets: bytes, depth: int) -> bool:
    """Take the innermost pairs out, level by level."""
    left = brackets.translate(_ONE_KIND)
    for _ in range(depth):
        before = len(left)
        left = left.replace(b"[]", b"")
        if len(left) == before:
            # Nothing, or what does not close: that is for the reader to complain of.
            return False
    return b"[" in left
