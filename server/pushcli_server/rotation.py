"""Secrets are replaced while the server runs; the previous ones go in their time."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from pushcli import durations, keys
from pushcli.errors import ConfigError, PushcliError
from pushcli_server import secrets
from pushcli_server.secrets import Keyring, Secrets
from pushcli_server.store import Store, StoreUnavailable, operations, reads
from pushcli_server.store.records import AuditRecord

LOOK_INTERVAL = 1.0
"""Seconds between two looks at the server's directory."""

_log = logging.getLogger(__name__)


def rotate(directory: Path, overlap: float) -> float | None:
    """Put new secrets in the place of those in a server's directory.

    Args:
        overlap: seconds for which the previous ones stay valid.

    Returns:
        Until when they do, seconds since the epoch; None: they do not.

    Raises:
        KeyFileError: there are none, or they cannot be written.
        ConfigError: those before the last rotation are still valid.
    """
    now = time.time()
    until = now + overlap if overlap > 0 else None
    try:
        secrets.rotate(directory, until, now)
    except secrets.StillValid as error:
        raise ConfigError(
            f"the secrets before the last rotation are valid until {durations.local(error.until)}",
            "rotate again after that, or end them now with --now",
        ) from error
    return until


class Rotation:
    """The secrets that are valid, as `pushcli server rotate-keys` leaves them.

    Args:
        directory: the server's.
        serve: called with all that are valid, the current ones first, whenever they change.
        store: whose audit trail says since when they are in use.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        keyring: Keyring,
        serve: Callable[[tuple[Secrets, ...]], None],
        store: Store,
        now: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._keyring = keyring
        self._serve = serve
        self._store = store
        self._now = now
        self._recorded = b""
        self._stamp: tuple[int, int, int] | None = None
        self._trouble = ""
        self._served = keyring.valid(now())
        serve(self._served)

    @property
    def current(self) -> Secrets:
        """What agents are told; it is served already."""
        return self._served[0]

    async def run(self) -> None:
        """Look for new secrets, and at the clock, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            try:
                await self._look()
                self._trouble = ""
            except (PushcliError, StoreUnavailable, OSError) as error:
                # What is served stays; said once, not every second.
                if str(error) != self._trouble:
                    _log.warning("cannot look after the server's secrets: %s", error)
                self._trouble = str(error)

    async def _look(self) -> None:
        await self._read()
        valid = self._keyring.valid(self._now())
        if _names(valid) != _names(self._served):
            self._apply(valid)
        if self._keyring.previous is not None and len(valid) == 1:
            await asyncio.to_thread(secrets.discard_previous, self._directory, self._now())
            self._keyring = Keyring(current=self._keyring.current)
        if self._recorded != self.current.curve_public:
            await self._record()
            self._recorded = self.current.curve_public

    async def _record(self) -> None:
        """A line of the audit trail, unless a previous run of the server wrote it."""
        fingerprint = keys.fingerprint(self.current.rsa)
        if await self._store.lists.ask(reads.audit, "", target=fingerprint, limit=1):
            return
        until = None if self._keyring.previous is None else self._keyring.previous_until
        record = AuditRecord(
            at=self._now(),
            org="",
            actor_kind="server",
            actor="server",
            action="server keys",
            target=fingerprint,
            origin="local",
            detail=msgspec.json.encode({"former_until": until}).decode(),
        )
        await self._store.write(operations.Audit(record))

    async def _read(self) -> None:
        try:
            stamp = secrets.stamp(self._directory)
        except OSError:
            # In the midst of a rotation.
            return
        if stamp != self._stamp:
            self._keyring = await asyncio.to_thread(secrets.load, self._directory)
            self._stamp = stamp

    def _apply(self, valid: tuple[Secrets, ...]) -> None:
        self._serve(valid)
        previous, self._served = self._served, valid
        if _names(valid)[0] != _names(previous)[0]:
            _log.info("new secrets are in use")
        if len(valid) > 1:
            until = durations.local(self._keyring.previous_until)
            _log.info("the previous secrets stay valid until %s", until)
        else:
            _log.info("the previous secrets are no longer valid")


def _names(some: tuple[Secrets, ...]) -> list[bytes]:
    """What tells secrets apart."""
    return [each.curve_public for each in some]
