"""The sandbox's fleets, made quickly.

Nearly every module of tests has a server of its own. To make one from nothing takes as long as
to start it, and so does it to enroll three nodes; `server init` and `agent enroll` have tests of
their own, which run the commands. Here a server is a copy of one that `server init` made, once
in a process of tests, and nodes are enrolled without a process for each. What runs is started
as ever.

With `PUSHCLI_TEST_DATABASE=postgresql` each server has a database of its own there, which is
dropped when its fleet stops.
"""

import atexit
import shutil
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli_agent.enrolment.enroll import Enrolment, enroll
from pushcli_agent.enrolment.register import Validator
from pushcli_server import settings
from tests.support import postgresql


class SlowFleet(Sandbox):
    """A sandbox that is made as operators make one, with the database that the run is about."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._databases = ExitStack()

    def make_server(self) -> None:
        """By `pushcli server init`."""
        if "database_url" not in self._settings:
            self._settings |= self.new_database()
        super().make_server()

    def stop(self) -> None:
        """Its database goes too."""
        with self._databases:
            super().stop()

    def copy_server(self, first: Sandbox) -> None:
        """As `pushcli server init` does: what it made there is here, with settings of this one."""
        shutil.copytree(first.server_directory, self.server_directory)
        file = self.server_directory / settings.FILE
        made = settings.load(self.server_directory)
        self._settings |= self.new_database(template=made.database_url)
        file.write_text(settings.render(settings.with_values(made, self.values(), "the test")))

    def new_database(self, *, template: str = "") -> dict[str, str]:
        """The setting for an empty database, or a copy; nothing where a file of its own will do."""
        if not postgresql.IS_CHOSEN:
            return {}
        made = postgresql.new_database(template=template)
        return {"database_url": self._databases.enter_context(made)}


class Fleet(SlowFleet):
    """A sandbox. Its keys and its server's secrets are those of all fleets of this process."""

    def make_server(self) -> None:
        """As `pushcli server init` does; where a database is named, by that command."""
        if "database_url" in self._settings:
            super().make_server()
            return
        first = _first(with_tls=self._with_tls)
        self.copy_server(first)
        self.credentials.parent.mkdir(parents=True)
        shutil.copystat(first.credentials.parent, self.credentials.parent)
        profile = first.credentials.read_text()
        for theirs, ours in (
            (first.url, self.url),
            (str(first.server_directory), str(self.server_directory)),
        ):
            assert theirs in profile
            profile = profile.replace(theirs, ours)
        shutil.copy2(first.credentials, self.credentials)
        self.credentials.write_text(profile)

    def enroll_node(self, node: str) -> None:
        """As `pushcli agent enroll` does, in this process."""
        profile = self.profile
        validator = self.server_directory / "keys" / f"{ORG}-validator.pem"
        enroll(
            Enrolment(
                server_urls=(self.url,),
                node_name=node,
                credential=Validator(key=validator),
                directory=self.agent_directory(node),
                fingerprint=profile.fingerprint,
            )
        )


@cache
def _first(*, with_tls: bool) -> Sandbox:
    """The one that is copied; it never runs."""
    place = Path(tempfile.mkdtemp(prefix="pushcli-tests-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    first = SlowFleet(place, [], with_tls=with_tls)
    atexit.register(first.stop)
    first.make_server()
    return first
