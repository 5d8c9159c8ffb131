"""The poll loop: turns what happens into events, and executes the core's effects.

One thread, one poll over sockets, the fetching child, the supervisors and the signals.
"""

import logging
import math
import time
from collections.abc import Callable

import zmq

from pushcli.protocol import messages
from pushcli.systemd.notify import Notifier
from pushcli_agent import log, orphans
from pushcli_agent.core import effects, events
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.machine import handle
from pushcli_agent.core.state import Agent
from pushcli_agent.first_use.first_use import FirstUse
from pushcli_agent.link.channel import Channel
from pushcli_agent.link.config_request import ConfigRequest
from pushcli_agent.link.fetcher import Fetcher
from pushcli_agent.link.outgoing import Outgoing
from pushcli_agent.running.housekeeping import Housekeeping
from pushcli_agent.running.jobs import Jobs
from pushcli_agent.signals import Signals
from pushcli_agent.whitelist.in_force import WhitelistInForce

_log = logging.getLogger("pushcli_agent")
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_LONGEST = 60.0
"""Seconds; a poll that ends early costs nothing."""
_PAUSE = 0.5
"""Seconds after something failed, so that it does not fail thousands of times."""


class Loop:
    """One run of the agent, until a signal ends it.

    Args:
        request: makes the request for a configuration that names these jobs.
        reload: called when the operator asks for a reconfigure, before it.
    """

    def __init__(
        self,
        *,
        agent: Agent,
        channel: Channel,
        fetcher: Fetcher,
        jobs: Jobs,
        whitelists: WhitelistInForce,
        outgoing: Outgoing,
        housekeeping: Housekeeping,
        first_use: FirstUse,
        signals: Signals,
        notifier: Notifier,
        request: Callable[[tuple[str, ...]], ConfigRequest],
        reload: Callable[[], None],
    ) -> None:
        self._agent = agent
        self._channel = channel
        self._fetcher = fetcher
        self._jobs = jobs
        self._whitelists = whitelists
        self._outgoing = outgoing
        self._housekeeping = housekeeping
        self._first_use = first_use
        self._signals = signals
        self._notifier = notifier
        self._request = request
        self._reload = reload
        self._config: ServerConfig | None = None
        self._feedback: list[events.Event] = []
        self._complaint: str | None = None

    def run(self) -> None:
        """Work until a signal ends it; nothing else does."""
        self._handle(self._whitelist_changed())
        self._handle(self._jobs.adopt())
        self._notifier.ready("running")
        while not self._signals.stop:
            done = self._try(self._poll)
            for step in (
                self._handle_signals,
                self._handle_ends,
                self._handle_messages,
                self._handle_answer,
                self._handle_time,
                self._keep_house,
                self._pin_editors,
                self._look_at_files,
                log.tick,
            ):
                done = self._try(step) and done
            if not done:
                # What failed may fail again at once.
                time.sleep(_PAUSE)
            # After the work: a loop that is stuck in it feeds nothing.
            self._notifier.feed(time.monotonic())
        self._notifier.stopping()

    def _try(self, step: Callable[[], None]) -> bool:
        """Do a part of the work, whatever becomes of it."""
        try:
            step()
        except Exception:
            _log.exception("%s failed; the agent goes on", step.__name__)
            return False
        return True

    def _poll(self) -> None:
        poller = zmq.Poller()
        for socket in self._channel.sockets:
            poller.register(socket, zmq.POLLIN)
        for fd in (self._signals.fd, self._fetcher.fd, self._first_use.fd, *self._jobs.fds()):
            if fd >= 0:
                poller.register(fd, zmq.POLLIN)
        now = time.monotonic()
        due = min(
            self._agent.deadline(),
            self._jobs.deadline(now),
            self._housekeeping.due_at,
            self._first_use.due_at,
            self._whitelists.due_at,
            self._notifier.due_at,
        )
        wait = min(max(due - now, 0.0), _LONGEST)
        poller.poll(math.ceil(wait * 1000))

    def _handle_signals(self) -> None:
        self._signals.clear()
        if self._signals.consume_hangup():
            log.reopen()
        if self._signals.consume_reconfigure():
            self._reload()
            self._look_at_whitelist()
            self._handle(events.ReconfigureRequested())

    def _handle_ends(self) -> None:
        for ended in self._jobs.ended():
            self._handle(ended)
        if self._signals.consume_child():
            orphans.reap({*self._jobs.children(), self._fetcher.pid, self._first_use.pid})

    def _handle_messages(self) -> None:
        for event in self._channel.receive():
            self._handle(event)

    def _handle_answer(self) -> None:
        if self._fetcher.fd >= 0:
            answer = self._fetcher.receive()
            if answer is not None:
                self._handle(answer)

    def _handle_time(self) -> None:
        if time.monotonic() >= self._agent.deadline():
            self._handle(events.TimePassed())

    def _keep_house(self) -> None:
        self._housekeeping.work(time.monotonic())

    def _pin_editors(self) -> None:
        if self._first_use.fd >= 0:
            self._first_use.receive()
        else:
            self._first_use.work(time.monotonic())

    def _look_at_files(self) -> None:
        if time.monotonic() >= self._whitelists.due_at:
            self._look_at_whitelist()

    def _handle(self, event: events.Event) -> None:
        """Have the core decide, and do it; what comes of that is handled next."""
        queue = [event]
        while queue:
            for effect in handle(self._agent, queue.pop(0), time.monotonic()):
                try:
                    self._perform(effect)
                except Exception:
                    # The other effects are asked for all the same, and the server repairs
                    # by heartbeats what one of them leaves undone.
                    _log.exception("%s failed; the agent goes on", type(effect).__name__)
            queue += self._feedback
            self._feedback = []

    def _perform(self, effect: effects.Effect) -> None:
        match effect:
            case effects.FetchConfig(adopts=adopts):
                self._fetch(adopts)
            case effects.Connect(config=config):
                self._connect(config)
            case (
                effects.SendHeartbeat()
                | effects.Answer()
                | effects.SendResult()
                | effects.SendOutput()
                | effects.SendFacts()
            ):
                self._send(effect)
            case effects.LookAtOutput(job_id=job_id):
                self._feedback.append(self._jobs.grown(job_id))
            case effects.SendWhitelistReport(policy=policy, pins=pins):
                more = self._jobs.policy_report() if policy else {}
                more |= self._whitelists.pins_report() if pins else {}
                self._send_note(
                    messages.WhitelistReport, lambda room: self._whitelists.report(room, more)
                )
            case effects.ApplyWhitelist(message=message):
                self._whitelists.apply(message)
                self._feedback.append(self._whitelist_changed())
            case effects.AnswerCheck(check=check):
                self._send_note(messages.Checked, lambda _: self._jobs.check(check))
            case effects.StartSupervisor(job_id=job_id, run=run, requestor=requestor):
                self._feedback.append(self._jobs.commit(job_id, run, requestor))
            case effects.StartCommand(job_id=job_id):
                self._jobs.run(job_id)
            case effects.AbortJob(job_id=job_id):
                self._jobs.abort(job_id)
            case effects.DiscardSpool(job_id=job_id):
                self._jobs.discard(job_id)
            case effects.Report(level=level, text=text):
                _log.log(_LEVELS[level], "%s", text)

    def _fetch(self, adopts: tuple[str, ...]) -> None:
        try:
            self._fetcher.start(self._request(adopts))
        except OSError as error:
            reason = f"cannot start a process to fetch it ({error.strerror})"
            self._feedback.append(events.ConfigFailed(reason))

    def _connect(self, config: ServerConfig) -> None:
        try:
            self._channel.open(config)
            self._config = config
        except zmq.ZMQError as error:
            _log.warning("cannot connect to %s: %s", config.command_addr, error.strerror)

    def _look_at_whitelist(self) -> None:
        if self._whitelists.refresh():
            self._handle(self._whitelist_changed())

    def _whitelist_changed(self) -> events.WhitelistChanged:
        whitelists = self._whitelists
        self._jobs.use_whitelist(whitelists.current)
        if whitelists.error is not None and whitelists.error != self._complaint:
            _log.warning("whitelist: %s", whitelists.error)
        self._complaint = whitelists.error
        return events.WhitelistChanged(whitelists.digest)

    def _send_note(
        self, note: type[messages.Note], fields: Callable[[int], dict[str, object]]
    ) -> None:
        if self._config is not None:
            max_body = self._config.max_body_size
            self._post(self._outgoing.note(note, fields(max_body)))

    def _send(
        self,
        effect: (
            effects.SendHeartbeat
            | effects.Answer
            | effects.SendResult
            | effects.SendOutput
            | effects.SendFacts
        ),
    ) -> None:
        if self._config is not None:
            _log.debug("sending %s", effect)
            self._post(self._outgoing.body(effect, self._config.max_body_size))

    def _post(self, body: bytes) -> None:
        if not self._channel.send(body):
            _log.debug("not sent: no connection")
