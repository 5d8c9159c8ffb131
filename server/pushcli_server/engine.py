"""Carries out what the fleet's pure machine asks for, in order: store, channel, feeds, timers.

An effect that stores something takes a ticket, and what leaves the server after it waits for
the commit of that ticket. Nothing is decided here about a job's or a node's state.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import assert_never

from pushcli.protocol import messages
from pushcli_server import persistence
from pushcli_server.channel.command_channel import CommandChannel
from pushcli_server.clock import Clock
from pushcli_server.core import fleet as core
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.feeds import Feeds
from pushcli_server.notes import Notes
from pushcli_server.release import Releases
from pushcli_server.store import Store, StoreUnavailable
from pushcli_server.timers import Timers

_log = logging.getLogger(__name__)
Spawn = Callable[["asyncio.Future[None]"], None]


class Engine:
    """One fleet and the world around it.

    Args:
        spawn: takes tasks that read the store.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        clock: Clock,
        store: Store,
        releases: Releases,
        timers: Timers,
        channel: CommandChannel,
        feeds: Feeds,
        notes: Notes,
        spawn: Spawn,
    ) -> None:
        self.fleet = fleet
        self.clock = clock
        self._store = store
        self._releases = releases
        self._timers = timers
        self._channel = channel
        self._feeds = feeds
        self._notes = notes
        self._spawn = spawn
        self._votes: dict[JobKey, asyncio.Event] = {}

    def handle(self, event: on_fleet.Event) -> None:
        """Something happened.

        An effect that fails is logged and costs no other, but for what rests on a save.

        Raises:
            StaleConfigRequest, ClientGone, KeyOfAnotherNode: a request for a configuration
                is refused.
        """
        saved = True
        for effect in core.handle(self.fleet, event, self.clock.now()):
            if not saved and isinstance(effect, on_fleet.OnceDurable):
                continue
            try:
                self._perform(effect)
            except Exception:
                _log.exception("%s failed; what does not rest on it goes on", type(effect))
                saved = saved and not isinstance(effect, on_fleet.Save)

    def receive(
        self, node: NodeKey, peer: bytes, address: str, message: messages.NodeMessage
    ) -> None:
        """A verified message came."""
        self.handle(on_fleet.MessageReceived(node, peer, address, message))

    async def vote_over(self, key: JobKey) -> None:
        """Wait until the job of this key does not vote any more."""
        if self.fleet.is_voting(key):
            await self._votes.setdefault(key, asyncio.Event()).wait()

    def _perform(self, effect: on_fleet.Effect) -> None:
        match effect:
            case on_fleet.OnceDurable(event):
                self._releases.add(self.handle, event)
            case on_fleet.SaveJobNodes():
                self._save(effect)
            case on_fleet.Send(node, peer, kind, fields):
                self._channel.send(peer, node, kind, **fields)
            case on_fleet.Publish():
                ticket, show = self._feeds.record(effect)
                self._releases.after(ticket)
                self._releases.add(show)
            case on_fleet.WakeAt(subject, at):
                passed = on_fleet.TimePassed(subject, at)
                self._timers.at(at, partial(self.handle, passed))
            case on_fleet.CompareWhitelist(node, digest):
                self._notes.compare_whitelist(node, digest)
            case on_fleet.RecordNote(node, message):
                self._notes.record(node, message)
            case on_fleet.ForgetPeer(peer):
                self._channel.forget(peer)
            case on_fleet.CloseFeed(job):
                self._feeds.close(job)
            case on_fleet.FindPart():
                self._spawn(asyncio.ensure_future(self._find_part(effect)))
            case on_fleet.SaveJob(job):
                self._save(effect)
                self._notify_waiting(job.key)
            case (
                on_fleet.SaveNewJob()
                | on_fleet.SaveNode()
                | on_fleet.AppendOutput()
                | on_fleet.StoreOutput()
                | on_fleet.SaveLateResult()
                | on_fleet.RecordAudit()
            ):
                self._save(effect)
            case _:
                assert_never(effect)

    def _save(self, effect: on_fleet.Save) -> None:
        operations = persistence.operations_of(effect, self.clock.now(), self._store.incoming)
        self._releases.after(self._store.submit(*operations))

    def _notify_waiting(self, key: JobKey) -> None:
        if (waiting := self._votes.pop(key, None)) is not None:
            waiting.set()

    async def _find_part(self, effect: on_fleet.FindPart) -> None:
        try:
            found = await persistence.find_part(self._store, effect.node, effect.message)
        except StoreUnavailable as error:
            # It is spooled: its agent sends it again.
            _log.warning("a result of %s must wait: %s", effect.node.name, error)
        except Exception:
            _log.exception("a result of %s cannot be placed", effect.node.name)
        else:
            self.handle(found)
