"""How many nodes must be ready: `8`, or `80%` of those that were named."""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from pushcli.errors import UsageError

NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)
PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s?%", re.ASCII)


def parse_quorum(text: str, node_count: int) -> int:
    """The number of nodes that a quorum asks for; a percentage rounds up.

    A number may exceed the nodes (the vote then fails, as knife's users know it); a
    percentage may not.

    Raises:
        UsageError: it is neither a number nor a percentage up to 100%.
    """
    if NUMBER.fullmatch(text):
        return int(text)
    percentage = PERCENTAGE.fullmatch(text)
    if percentage is None or Decimal(percentage[1]) > 100:
        raise UsageError(
            f"not a quorum: {text!r}", "give a number of nodes (8) or a percentage (80%)"
        )
    return share(percentage[1], node_count)


def share(percentage: str, count: int, *, up: bool = True) -> int:
    """So many per cent, rounded up or down."""
    exact = Decimal(percentage) * count / 100
    return int(exact.to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))
