"""Carries out what the fleet's pure machine asks for, in order: store, channel, feeds, timers.

An effect that stores something takes a ticket, and what leaves the server after it waits for
the commit of that ticket. Nothing is decided here about a job's or a node's state.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

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
        self._feeds = feeds
        self._votes: dict[JobKey, asyncio.Event] = {}
        # A table, not a `match`: a job on a thousand nodes has some fifteen thousand effects.
        self._carry_out: dict[type, Callable[[Any], object]] = {
            **dict.fromkeys(get_args(on_fleet.Save), self._save),
            on_fleet.SaveJob: self._save_job,
            on_fleet.OnceDurable: lambda effect: releases.add(self.handle, effect.event),
            on_fleet.Send: lambda effect: channel.send(
                effect.peer, effect.node, effect.kind, **effect.fields
            ),
            on_fleet.Publish: self._publish,
            on_fleet.WakeAt: self._wake_at,
            on_fleet.CompareWhitelist: lambda effect: notes.compare_whitelist(
                effect.node, effect.digest
            ),
            on_fleet.RecordNote: lambda effect: notes.record(effect.node, effect.message),
            on_fleet.ForgetPeer: lambda effect: channel.forget(effect.peer),
            on_fleet.CloseFeed: lambda effect: feeds.close(effect.job),
            on_fleet.FindPart: lambda effect: spawn(asyncio.ensure_future(self._find_part(effect))),
        }

    def handle(self, event: on_fleet.Event) -> None:
        """Something happened.

        An effect that fails is logged and costs no other, but for what rests on a save.

        Raises:
            ClientGone, KeyOfAnotherNode: a request for a configuration is refused.
        """
        saved, carry_out = True, self._carry_out
        for effect in core.handle(self.fleet, event, self.clock.now()):
            if not saved and isinstance(effect, on_fleet.OnceDurable):
                continue
            try:
                carry_out[type(effect)](effect)
            except Exception:
                _log.exception("%s failed; what does not rest on it goes on", type(effect))
                saved = saved and not isinstance(effect, on_fleet.Save)

    def receive(
        self,
        node: NodeKey,
        peer: bytes,
        address: str,
        message: messages.NodeMessage,
        curve_key: str,
    ) -> None:
        """A verified message came."""
        self.handle(on_fleet.MessageReceived(node, peer, address, message, curve_key))

    async def vote_over(self, key: JobKey) -> None:
        """Wait until the job of this key does not vote any more."""
        if self.fleet.is_voting(key):
            await self._votes.setdefault(key, asyncio.Event()).wait()

    def _publish(self, effect: on_fleet.Publish) -> None:
        ticket, show = self._feeds.record(effect)
        self._releases.after(ticket)
        self._releases.add(show)

    def _wake_at(self, effect: on_fleet.WakeAt) -> None:
        passed = on_fleet.TimePassed(effect.subject, effect.at)
        self._timers.at(effect.at, partial(self.handle, passed))

    def _save_job(self, effect: on_fleet.SaveJob) -> None:
        self._save(effect)
        if (waiting := self._votes.pop(effect.job.key, None)) is not None:
            waiting.set()

    def _save(self, effect: on_fleet.Save) -> None:
        operations = persistence.operations_of(effect, self.clock.now(), self._store.incoming)
        self._releases.after(self._store.submit(*operations))

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
