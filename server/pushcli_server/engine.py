"""Carries out what the fleet's pure machine asks for, in order: store, channel, feeds, timers.

An effect that stores something takes a ticket, and what leaves the server after it waits for
the commit of that ticket. Nothing is decided here about a job's or a node's state.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
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
from pushcli_server.output_feeds import OutputFeeds
from pushcli_server.release import Releases
from pushcli_server.store import Store, StoreUnavailable
from pushcli_server.timers import Timers

_log = logging.getLogger(__name__)
CLOCK_STEP = 0.05
"""Seconds by which dates may be off before the fleet is told that the clock was set."""
AGAIN = 1.0
"""Seconds after which a node is looked at again whose silence may be broken unread, ..."""
LONGEST_BEHIND = 30.0
"""... and for which it is put off at most: there may always be one who sends more than is read."""
Spawn = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], None]
"""Has something done beside everything else; its name is for the log."""
_LOOK_UPS = 200
_LOOK_UPS_OF_A_NODE = 4
"""Results of jobs that are not live, looked up at a time: a node repeats what is not answered."""


class Engine:
    """One fleet and the world around it.

    Args:
        spawn: has the store read beside everything else.
        is_behind: whether a node may have said something that was not heard.
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
        outputs: OutputFeeds,
        notes: Notes,
        spawn: Spawn,
        is_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self.fleet = fleet
        self.clock = clock
        self._store = store
        self._releases = releases
        self._timers = timers
        self._feeds, self._outputs = feeds, outputs
        self._channel, self._notes = channel, notes
        self._spawn, self._is_behind = spawn, is_behind
        self._votes: dict[JobKey, asyncio.Event] = {}
        self._new: dict[JobKey, asyncio.Future[None]] = {}
        self._looking: Counter[NodeKey] = Counter()
        self._first = 0
        """The ticket from which on what is saved belongs to the event that is being handled."""
        # A table, not a `match`: a job on a thousand nodes has some fifteen thousand effects.
        self._carry_out: dict[type, Callable[[Any], object]] = {
            **dict.fromkeys(get_args(on_fleet.Save), self._save),
            on_fleet.SaveJob: self._save_job,
            on_fleet.SaveNewJob: self._save_new_job,
            on_fleet.OnceDurable: self._once_durable,
            on_fleet.Send: lambda effect: channel.send(
                effect.peer, effect.node, effect.kind, **effect.fields
            ),
            on_fleet.Publish: self._publish,
            on_fleet.WakeAt: self._wake_at,
            on_fleet.CompareWhitelist: lambda effect: notes.compare_whitelist(
                effect.node, effect.digest
            ),
            on_fleet.RecordNote: lambda effect: notes.record(effect.node, effect.message),
            on_fleet.EndConnections: lambda effect: channel.expel(effect.node),
            on_fleet.ForgetPeer: lambda effect: channel.forget(effect.peer),
            on_fleet.ForgetNode: self._forget_node,
            on_fleet.CloseOrganization: lambda effect: releases.add(
                feeds.close_organization, effect.org
            ),
            on_fleet.CloseFeed: self._close_feeds,
            on_fleet.ShowOutput: self._show_output,
            on_fleet.FindPart: self._look_up,
        }

    def handle(self, event: on_fleet.Event) -> None:
        """Something happened.

        An effect that fails is logged and costs no other, but for what rests on a save.

        Raises:
            ClientGone, KeyOfAnotherNode: a request for a configuration is refused.
            OrganizationGone: what was asked for begins nothing any more.
        """
        now, offset = self.clock.now(), self.clock.offset()
        if abs(offset - self.fleet.offset) > CLOCK_STEP:
            self._handle(on_fleet.ClockSet(offset), now)
        self._handle(event, now)

    def _handle(self, event: on_fleet.Event, now: float) -> None:
        effects = core.handle(self.fleet, event, now)
        if not effects:
            return
        saved, carry_out, self._first = True, self._carry_out, self._store.ticket + 1
        for effect in effects:
            if not saved and isinstance(effect, on_fleet.OnceDurable):
                continue
            try:
                carry_out[type(effect)](effect)
            except Exception:
                _log.exception("%s failed; what does not rest on it goes on", type(effect))
                saved = saved and not isinstance(effect, on_fleet.Save)

    async def start(self, event: on_fleet.JobRequested) -> None:
        """Start a job; it is stored when this returns.

        Raises:
            StoreUnavailable: it was not started, or, as `OutcomeUnknown`, that is not known: if
                it is stored after all it runs.
            CannotStore: it can never be stored.
        """
        self._store.require_health()
        self.handle(event)
        answer = self._new.pop(event.job)
        answer.add_done_callback(partial(self._withdraw_unless_stored, event.job))
        await self._store.answered(answer)

    def receive(
        self,
        node: NodeKey,
        peer: bytes,
        address: str,
        message: messages.NodeMessage,
        curve_key: str,
    ) -> None:
        """A verified message came; while too much waits to be stored, none that adds to it."""
        if isinstance(message, messages.Output) and self._store.is_half_full:
            # Its agent sends it again: votes and results need the room.
            return
        if self._store.is_full and not self.fleet.is_routine(node, message):
            # It is not acknowledged: an agent of ours sends it again.
            _log.warning(
                "too much waits for the database: a message is not taken", extra={"node": node.name}
            )
            return
        self.handle(on_fleet.MessageReceived(node, peer, address, message, curve_key))

    def clock_differs(self, node: NodeKey, seconds: float) -> None:
        """A message was refused for its time, which is so many seconds ahead of ours."""
        self.handle(on_fleet.ClockDiffers(node, seconds))

    def connection_ended(self, node: NodeKey) -> None:
        """A connection of a node is gone, and no other is known to be its own."""
        self.handle(on_fleet.ConnectionEnded(node))

    async def vote_over(self, key: JobKey) -> None:
        """Wait until the job of this key does not vote any more."""
        if self.fleet.is_voting(key):
            await self._votes.setdefault(key, asyncio.Event()).wait()

    def _forget_node(self, effect: on_fleet.ForgetNode) -> None:
        self._channel.expel(effect.node)
        self._notes.forget(effect.node)

    def _publish(self, effect: on_fleet.Publish) -> None:
        ticket, show = self._feeds.record(effect)
        self._releases.after(ticket)
        self._releases.add(show)

    def _show_output(self, effect: on_fleet.ShowOutput) -> None:
        self._outputs.show(effect)

    def _close_feeds(self, effect: on_fleet.CloseFeed) -> None:
        self._feeds.close(effect.job)
        self._outputs.close(effect.job)

    def _wake_at(self, effect: on_fleet.WakeAt) -> None:
        passed = on_fleet.TimePassed(effect.subject, effect.at)
        is_node = isinstance(effect.subject, NodeKey)
        self._timers.at(effect.at, partial(self._look_for if is_node else self.handle, passed))

    def _look_for(self, passed: on_fleet.TimePassed) -> None:
        """A node is silent, if nothing that it said waits to be read."""
        now = self.clock.now()
        node = self.fleet.nodes.get(passed.subject) if isinstance(passed.subject, NodeKey) else None
        is_silent = node is not None and now - LONGEST_BEHIND < node.offline_at <= now
        if is_silent and self._is_behind():
            self._timers.at(now + AGAIN, partial(self._look_for, passed))
        else:
            self.handle(passed)

    def _withdraw_unless_stored(self, key: JobKey, answer: "asyncio.Future[None]") -> None:
        if answer.exception() is not None:
            self.handle(on_fleet.JobWithdrawn(key))
            self._end_vote(key)

    def _once_durable(self, effect: on_fleet.OnceDurable) -> None:
        self._releases.add(self._durable, effect.event, self._first, self._store.ticket)

    def _durable(self, event: on_fleet.Held, first: int, last: int) -> None:
        """What was saved before this is durable, unless the database refused some of it."""
        if not self._store.was_refused(first, last):
            self.handle(event)

    def _save_job(self, effect: on_fleet.SaveJob) -> None:
        self._save(effect)
        self._end_vote(effect.job.key)

    def _end_vote(self, key: JobKey) -> None:
        if (waiting := self._votes.pop(key, None)) is not None:
            waiting.set()

    def _save_new_job(self, effect: on_fleet.SaveNewJob) -> None:
        operations = persistence.operations_of(
            effect, self.clock.date(), self._store.incoming, offset=self.fleet.offset
        )
        self._new[effect.job.key] = self._store.begin(*operations)
        self._releases.after(self._store.ticket)

    def _save(self, effect: on_fleet.Save) -> None:
        operations = persistence.operations_of(
            effect, self.clock.date(), self._store.incoming, offset=self.fleet.offset
        )
        self._releases.after(self._store.submit(*operations))

    def _look_up(self, effect: on_fleet.FindPart) -> None:
        looking = self._looking
        if looking[effect.node] < _LOOK_UPS_OF_A_NODE and looking.total() < _LOOK_UPS:
            looking[effect.node] += 1
            self._spawn("looking up a late result", partial(self._find_part, effect))

    async def _find_part(self, effect: on_fleet.FindPart) -> None:
        about = {"node": effect.node.name, "job": effect.message.job_id}
        try:
            found = await persistence.find_part(self._store, effect.node, effect.message)
        except StoreUnavailable as error:
            # It is spooled: its agent sends it again.
            _log.warning("a result must wait: %s", error, extra=about)
        except Exception:
            _log.exception("a result cannot be placed", extra=about)
        else:
            self.handle(found)
        finally:
            self._looking[effect.node] -= 1
            if not self._looking[effect.node]:
                del self._looking[effect.node]
