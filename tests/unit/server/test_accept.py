"""What an `Accept` header covers."""

import pytest

from pushcli_server.rest.accept import accepts

JSON, RAW, EVENTS = "application/json", "application/octet-stream", "text/event-stream"


@pytest.mark.parametrize(
    ("header", "media_type", "covered"),
    [
        (None, JSON, True),
        ("", RAW, True),
        (None, EVENTS, False),
        (JSON, EVENTS, False),
        (EVENTS, EVENTS, True),
        ("*/*", EVENTS, True),
        ("*", JSON, True),
        ("APPLICATION/JSON", JSON, True),
        ("application/json; charset=utf-8", JSON, True),
        ("application/*", RAW, True),
        ("text/*", JSON, False),
        ("text/html", JSON, False),
        ("text/html, */*;q=0.1", JSON, True),
        ("text/html,application/json", JSON, True),
        # The most specific range decides, wherever it stands.
        ("*/*, application/json;q=0", JSON, False),
        ("application/json;q=0, */*", JSON, False),
        ("application/*;q=0, application/json", JSON, True),
        ("application/json;q=0.0", JSON, False),
        ("application/json;q=junk", JSON, False),
        (",;,q=;", JSON, False),
    ],
)
def test_accept(header: str | None, media_type: str, covered: bool) -> None:
    assert accepts(header, media_type) is covered
