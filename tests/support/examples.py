"""How many examples hypothesis tries: all of them in `make test`, some in `make test-fast`."""

from hypothesis import settings

FAST = "fast"
"""The profile of `make test-fast`."""


def examples(count: int) -> int:
    """As many as these, or a tenth."""
    return max(10, count // 10) if settings.get_current_profile_name() == FAST else count
