"""The link to the server: configuration, connection, heartbeats (protocol, section 7)."""

import math

from pushcli.protocol import messages
from pushcli_agent.core import delivery, live, notes, work
from pushcli_agent.core.backoff import backoff
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.effects import Connect, Effect, FetchConfig, Report, SendHeartbeat
from pushcli_agent.core.events import ConfigFailed
from pushcli_agent.core.state import MAX_PENDING, Agent, Link, Work

PROOF = 3.0
"""Without a command message for so long, a new connection is taken for dead."""
FIRST_DELAY = 0.5
MAX_DELAY = 30.0
UNREPEATED = 3
"""Intervals after which a quiet agent repeats in a heartbeat what became of it, if it is still so:
most jobs are over by then, and of a whole fleet nobody says again what was said."""
LONGEST_RETRY = 300.0
"""Seconds for which a server may put off an agent, and half of that for not all to come at once."""


def fetch(agent: Agent) -> list[Effect]:
    """Ask for the configuration, naming the jobs that are still here."""
    link = agent.link
    link.fetching, link.renew_at, link.retry_at = True, math.inf, math.inf
    running = [agent.job.id] if agent.job is not None and agent.job.doing == "running" else []
    return [FetchConfig((*running, *agent.deliveries))]


def configured(agent: Agent, config: ServerConfig, now: float) -> list[Effect]:
    """Connect as the answer says, unless the connection that there is serves as well."""
    link = agent.link
    previous, link.config = link.config, config
    link.fetching, link.refusals, link.retry_at = False, 0, math.inf
    # Up to a tenth earlier, so that a fleet that started at once does not ask at once.
    link.renew_at = now + config.lifetime * (1.0 - 0.1 * agent.random())
    if previous is not None and previous.incarnation_id != config.incarnation_id:
        link.retired.append(previous.incarnation_id)
    effects = delivery.configured(agent, config)
    if link.proven and link.online and not link.forced and config.same_channel(previous):
        return effects
    link.forced = link.connected = link.proven = link.away = False
    link.online, link.heartbeat_at = True, math.inf
    link.proof_at = now + PROOF
    link.silent_at = now + max(PROOF, config.silence)
    delivery.disconnected(agent)
    work.connection_changed(agent)
    report = Report("info", f"connecting to {config.command_addr} of {config.host}")
    return [*effects, report, Connect(config)]


def config_failed(agent: Agent, failed: ConfigFailed, now: float) -> list[Effect]:
    """Try again, later each time, and not before the server wants that."""
    asked = min(failed.retry_after, LONGEST_RETRY) * (1.0 + 0.5 * agent.random())
    wait = max(backoff(agent.random, FIRST_DELAY, agent.link.refusals, MAX_DELAY), asked)
    if agent.link.away and agent.link.config is not None:
        # A whole fleet asks, and the server that it is connected to answers, too.
        wait = max(wait, agent.link.config.splay * (0.5 + agent.random()))
    agent.link.refusals += 1
    agent.link.fetching, agent.link.retry_at = False, now + wait
    return [Report("warning", f"no configuration: {failed.reason}; retrying in {wait:.1f} s")]


def connected(agent: Agent, now: float) -> list[Effect]:
    """A new connection: results first, so that the heartbeat finds them delivered."""
    link = agent.link
    if link.config is None:
        raise ValueError("connected without a configuration")
    link.connected, link.proven, link.proof_at = True, False, now + PROOF
    link.heartbeat_at = math.inf
    # Its key is proven: this is the server, and it lives.
    link.online, link.silent_at = True, now + max(PROOF, link.config.silence)
    work.connection_changed(agent)
    live.restart(agent, now)
    return [*delivery.connected(agent, now), *heartbeat(agent, now), *notes.connected(agent)]


def disconnected(agent: Agent, now: float) -> list[Effect]:
    """ZeroMQ tries to connect again; if that takes long, ask for the configuration."""
    link = agent.link
    if link.connected:
        link.connected = link.proven = False
        link.heartbeat_at, link.proof_at = math.inf, now + PROOF
        delivery.disconnected(agent)
        work.connection_changed(agent)
        return [Report("info", "lost the connection to the server")]
    return []


def proven(agent: Agent, now: float) -> list[Effect]:
    """A command message came."""
    link = agent.link
    link.proof_at = math.inf
    if link.proven:
        return []
    link.proven = True
    _back(agent, now)
    return [Report("info", "connected: the server answers")]


def server_heard(agent: Agent, message: messages.ServerHeartbeat, now: float) -> list[Effect]:
    """The server lives, perhaps as a new incarnation."""
    link, config = agent.link, agent.link.config
    incarnation, sequence = message.incarnation_id, message.sequence
    if config is None or incarnation in link.retired:
        return []
    if incarnation == link.heard[0] and sequence <= link.heard[1]:
        return []
    link.heard = (incarnation, sequence)
    link.silent_at = now + config.silence
    if link.proven:
        link.failures = 0
    return [*_count_beat(agent, config, now), *_chase(agent, config, incarnation, now)]


def beaten(agent: Agent, message: messages.Beat, now: float) -> list[Effect]:
    """The server answers our heartbeat, or asks for one."""
    link, config = agent.link, agent.link.config
    if config is None or not config.is_quiet:
        return []
    link.silent_at, link.failures = math.inf, 0
    effects: list[Effect] = []
    if not link.online:
        link.online = True
        _back(agent, now)
        effects.append(Report("info", "the server is back"))
    if message.ask or link.heartbeat_at == math.inf:
        effects += heartbeat(agent, now)
    if agent.knows_others:
        effects += _turned_away(agent, config, now, away=message.away)
    return [*effects, *_chase(agent, config, message.incarnation_id, now)]


def _chase(agent: Agent, config: ServerConfig, incarnation: str, now: float) -> list[Effect]:
    """Another incarnation of the server may have other settings."""
    link = agent.link
    if incarnation in (config.incarnation_id, link.chased):
        return []
    link.chased = incarnation
    # One that is due earlier than the last of the others is not put off.
    if not link.fetching and link.renew_at > now + config.splay:
        link.renew_at = _among_others(agent, config, now)
    return [Report("info", "the server was restarted")]


def _turned_away(agent: Agent, config: ServerConfig, now: float, *, away: bool) -> list[Effect]:
    """A server that is cut off from its database: the others are asked, for as long as it is."""
    link = agent.link
    was, link.away = link.away, away
    if not away:
        if was:
            _back(agent, now)
        return []
    if link.retry_at == math.inf:
        # Also where the last answer came from it, or was not waited for.
        _schedule_retry(link, _among_others(agent, config, now))
    report = Report("warning", "the server cannot reach its database: asking for another one")
    return [] if was else [report]


def _back(agent: Agent, now: float) -> None:
    """The server answers where it was: many who missed it are back now, and none need hurry."""
    link, config = agent.link, agent.link.config
    is_asked = link.fetching or link.forced
    if config is None or is_asked or not (link.proven and link.online) or link.retry_at == math.inf:
        return
    link.retry_at, link.refusals = math.inf, 0
    if link.renew_at == math.inf:
        # It was asked for in vain.
        link.renew_at = _among_others(agent, config, now)


def _among_others(agent: Agent, config: ServerConfig, now: float) -> float:
    """A moment within those that the server has all agents spread over."""
    return now + agent.random() * config.splay


def _count_beat(agent: Agent, config: ServerConfig, now: float) -> list[Effect]:
    link = agent.link
    if link.online:
        return []
    link.beats += 1
    if link.beats <= config.online_threshold:
        return []
    link.online = True
    _back(agent, now)
    back = Report("info", "the server is back")
    return [back, *heartbeat(agent, now)] if link.connected else [back]


def heartbeat(agent: Agent, now: float) -> list[Effect]:
    """Report that we live and what we do."""
    link, config, job = agent.link, agent.link.config, agent.job
    if config is None:
        raise ValueError("a heartbeat without a configuration")
    interval = config.interval
    if config.is_quiet:
        # Up to a tenth earlier: a fleet that came back at once is not to be heard at once for ever.
        interval = config.quiet_interval * (1.0 - 0.1 * agent.random())
    # One that was asked for came early: the next is due as if it had been on time.
    on_time = min(link.heartbeat_at, now) + interval
    link.heartbeat_at = on_time if now < on_time < math.inf else now + interval
    if config.is_quiet:
        link.silent_at = min(link.silent_at, now + max(PROOF, config.silence))
    link.said, link.change_at = _work_of(agent), math.inf
    pending = tuple(agent.deliveries)[:MAX_PENDING] if config.keeps_results else ()
    whitelist = notes.digest(agent)
    if job is None:
        return [SendHeartbeat("idle", None, pending or None, whitelist)]
    return [SendHeartbeat(job.doing, job.id, pending or None, whitelist)]


def note_change(agent: Agent, now: float) -> None:
    """A quiet agent does not wait for its next heartbeat where the last one is no more true."""
    link, config = agent.link, agent.link.config
    is_heard = config is not None and config.is_quiet and link.heartbeat_at < math.inf
    if config is not None and is_heard and _work_of(agent) != link.said:
        link.change_at = min(link.change_at, now + UNREPEATED * config.interval)
    else:
        link.change_at = math.inf


def _work_of(agent: Agent) -> Work:
    job = agent.job
    # An abort may take longer than the server waits to hear of us.
    doing = None if job is None else (job.doing if not job.owed else "aborting", job.id)
    return doing, bool(agent.deliveries)


def reconfigure(agent: Agent, now: float) -> list[Effect]:
    """The operator asks for it: a new configuration and new connections, now."""
    link = agent.link
    link.forced = True
    if not link.fetching:
        link.renew_at = now
    return time_passed(agent, now)


def time_passed(agent: Agent, now: float) -> list[Effect]:
    """Do what is due."""
    link = agent.link
    effects: list[Effect] = []
    if now >= link.silent_at:
        effects += _went_silent(agent, now)
    if now >= link.proof_at:
        effects += _stayed_mute(agent, now)
    if now >= min(link.heartbeat_at, link.change_at):
        effects += heartbeat(agent, now)
    if now >= link.fetch_at:
        effects += fetch(agent)
    return effects


def _went_silent(agent: Agent, now: float) -> list[Effect]:
    link = agent.link
    link.online, link.beats = False, 0
    link.silent_at = link.heartbeat_at = math.inf
    _schedule_retry(link, now + backoff(agent.random, FIRST_DELAY, link.failures, MAX_DELAY))
    link.failures += 1
    if link.config is not None and link.config.is_quiet:
        what, where = "answer to heartbeats", link.config.command_addr
    else:
        what, where = "heartbeat", link.config.heartbeat_addr if link.config else ""
    return [Report("warning", f"no {what} from the server at {where}: it is offline")]


def _stayed_mute(agent: Agent, now: float) -> list[Effect]:
    link = agent.link
    link.proof_at = math.inf
    _schedule_retry(link, now + backoff(agent.random, FIRST_DELAY, link.failures, MAX_DELAY))
    link.failures += 1
    where = link.config.command_addr if link.config else ""
    return [Report("warning", f"no message from the server at {where} within {PROOF:g} s")]


def _schedule_retry(link: Link, at: float) -> None:
    if not link.fetching:
        link.retry_at = min(link.retry_at, at)
