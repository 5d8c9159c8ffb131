"""Reading a feed as a script would: lines over one connection."""

import http.client
import time
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import msgspec

from pushcli.client.credentials import Profile
from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from tests.support import key_files
from tests.support.waiting import patient


class FeedReader:
    """One request for a feed; its events as they come."""

    opened: ClassVar[list["FeedReader"]] = []

    def __init__(
        self,
        profile: Profile,
        path: str,
        last_event_id: str | None = None,
        accept: str | None = "text/event-stream",
    ) -> None:
        url = urlsplit(f"{profile.chef_server_url}/pushy/{path}")
        self._connection = http.client.HTTPConnection(
            url.hostname or "", url.port, timeout=patient(10)
        )
        headers = signing.sign(
            key_files.read(Path(profile.client_key)),
            method="GET", path=url.path, body=b"", user=profile.client_name,
            timestamp=format_iso8601(time.time()), version="1.1",
        )  # fmt: skip
        if accept is not None:
            headers["Accept"] = accept
        if last_event_id is not None:
            headers["Last-Event-ID"] = last_event_id
        target = f"{url.path}?{url.query}" if url.query else url.path
        self._connection.request("GET", target, headers=headers)
        self.response = self._connection.getresponse()
        self.status = self.response.status
        self.opened.append(self)
        if self.status != 200:
            self.close()

    def event(self) -> dict[str, Any] | None:
        """The next event: `event`, `id`, `data`; None at the end of the stream."""
        fields: dict[str, Any] = {}
        while line := self.response.readline().decode():
            name, separator, value = line.rstrip("\n").partition(": ")
            if separator:
                fields[name] = value
            elif fields:
                fields["data"] = msgspec.json.decode(fields["data"])
                return fields
        self.close()
        return None

    def next(self) -> str:
        """The next event as `name node status`, or `end`."""
        event = self.event()
        if event is None:
            return "end"
        parts = (event["event"], event["data"].get("node"), event["data"].get("status"))
        return " ".join(part for part in parts if part)

    def rest(self) -> list[dict[str, Any]]:
        """All events up to the end of the stream."""
        events = []
        while (event := self.event()) is not None:
            events.append(event)
        return events

    def close(self) -> None:
        """Leave."""
        self.response.close()
        self._connection.close()
