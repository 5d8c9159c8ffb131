"""Which refusals ask for a repeat."""

import pytest

from pushcli_server.rest.errors import answer_for
from pushcli_server.store import StoreUnavailable
from pushcli_server.store.errors import TookTooLong

NOT_SURELY_UNDONE = [
    kind(1.0) if kind is TookTooLong else kind("why") for kind in StoreUnavailable.__subclasses__()
]


def test_what_was_surely_not_done_may_be_asked_again() -> None:
    assert answer_for(StoreUnavailable("why")).headers["Retry-After"] == "5"


@pytest.mark.parametrize("error", NOT_SURELY_UNDONE, ids=lambda error: type(error).__name__)
def test_of_anything_else_nobody_is_asked_to_repeat_it(error: StoreUnavailable) -> None:
    answered = answer_for(error)
    assert answered.status_code == 503
    assert "Retry-After" not in answered.headers
