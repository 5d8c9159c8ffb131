"""The server's REST API as calls (Push Jobs protocol, section 3, and docs/extensions.md)."""

import hashlib
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec

from pushcli import errors, keys
from pushcli.client import feed, foreign
from pushcli.client.answers import decoded
from pushcli.client.credentials import Profile
from pushcli.client.feed import FeedEvent
from pushcli.client.http import HttpClient, Params, Requestor, Server
from pushcli.client.limits import Limits
from pushcli.client.paths import quoted
from pushcli.protocol import names, run_wire
from pushcli.protocol.headers import OUTPUT_CUT_AT, OUTPUT_DROPPED, OUTPUT_PARTIAL, REQUEST_ID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from pushcli.client.signer import Signer
    from pushcli.client.trace import Trace

R = TypeVar("R")
RESTART_PATIENCE = 5.0
"""Seconds for a server to come back after the connection broke under the start of a job."""
_RETRY = 0.25
_NAMED = 100
"""Nodes that are named in a request."""
_NAMED_SIZE = 4_000
"""Characters of their names together: proxies take lines of 8 KB as they come."""
_BLANKS = 24
_BLANK = b" \t"


class MarkedOutput(NamedTuple):
    """What a command wrote, and what is to be known of it.

    Args:
        dropped: bytes that are missing.
        cut_at: where the first of them would be, if the server says so.
        partial: whether the command was cut short.
    """

    data: bytes
    dropped: int
    cut_at: int | None
    partial: bool


class ApiClient:
    """Jobs and nodes of one organization.

    Paths are below it; those that begin with `/` are outside of all organizations. Every call
    raises `PushcliError`s: what kind tells the exit status.
    """

    def __init__(
        self, profile: Profile, *, limits: Limits | None = None, trace: "Trace | None" = None
    ) -> None:
        self._requestor = requestor_of(profile)
        self._http = HttpClient(server_of(profile), self._requestor, limits=limits, trace=trace)
        self._only_own = False
        """Whether jobs are read as one's own: it turned out that others' may not be read."""

    @property
    def extensions(self) -> frozenset[str]:
        """What who serves jobs offers beyond the old API, as its last answer said."""
        return self._http.extensions

    @property
    def last_extensions(self) -> frozenset[str]:
        """The same of who answered last; users, groups and nodes may be a Chef Infra Server's."""
        return self._http.last_extensions

    @property
    def behind(self) -> str:
        """Why what the server said last may be out of date; empty: it is not."""
        return self._http.behind

    @property
    def passed_over(self) -> str:
        """Why another of the server's URLs than the first was asked last; empty: it was not."""
        return self._http.passed_over

    def offers(self, extension: str) -> bool:
        """Whether the server offers this; it is asked if it said nothing yet."""
        if not self._http.has_answered:
            try:
                self.get(f"pushy/own_jobs/{'0' * 32}")
            except errors.ServerUnreachable:
                raise
            except errors.PushcliError:
                # A refusal, too, says what the server can.
                pass
        return extension in self.extensions

    @property
    def is_foreign(self) -> bool:
        """Whether the server is not ours; it is asked if it said nothing yet."""
        return not self.offers("") and self._http.has_answered and not self.extensions

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def signer(self) -> "Signer":
        """Signs statements about whitelists with the key that signs the requests."""
        from pushcli.client.signer import Signer  # noqa: PLC0415 - few commands need it

        org = self._http.base.rpartition("/organizations/")[2]
        return Signer(self._requestor.key, org=org, name=self.name)

    @property
    def name(self) -> str:
        """Whose name is in the requests."""
        return self._requestor.name

    def get(self, path: str, params: Params | None = None) -> Any:
        """GET JSON below the organization."""
        return self._json("GET", path, params=params)

    def post(
        self,
        path: str,
        value: object,
        headers: dict[str, str] | None = None,
        params: Params | None = None,
    ) -> Any:
        """POST JSON below the organization."""
        body = _distinct(msgspec.json.encode(value))
        return self._json("POST", path, body=body, headers=headers, params=params)

    def put(self, path: str, value: object, headers: dict[str, str] | None = None) -> Any:
        """PUT JSON below the organization."""
        body = _distinct(msgspec.json.encode(value))
        return self._json("PUT", path, body=body, headers=headers)

    def delete(self, path: str) -> Any:
        """DELETE below the organization."""
        return self._json("DELETE", path)

    def start_job(self, spec: dict[str, Any]) -> str:
        """Start a job, once, even if the connection breaks; returns its id.

        Args:
            spec: the body; its `pushcli`, if any, is only for servers that know such options.
        """
        if (misfit := foreign.misfit(spec)) is not None and self.is_foreign:
            raise misfit
        headers = {REQUEST_ID: str(uuid.uuid4())}
        options = spec.get(run_wire.OPTIONS_KEY, {})
        if run_wire.CAPTURE in options and not self.offers(run_wire.DEFAULT_CAPTURE):
            # Nobody asked for it: no server that does not know it is troubled with it.
            spec = run_wire.without(spec, run_wire.CAPTURE)
        try:
            answer = self._start_job(spec, headers)
        except errors.RequestRefused:
            understood = run_wire.understood(spec, self.extensions)
            if understood == spec:
                raise
            _require_whole(spec, understood, self.extensions)
            answer = self._start_job(understood, headers)
        uri = answer.get("uri") if isinstance(answer, dict) else None
        job_id = uri[-32:] if isinstance(uri, str) else ""
        if not names.is_job_id(job_id):
            raise errors.ServerError("the server did not say which job it started")
        return job_id

    def _start_job(self, spec: dict[str, Any], headers: dict[str, str]) -> Any:
        body = _distinct(msgspec.json.encode(spec))
        try:
            return self._json("POST", "pushy/jobs", body=body, headers=headers)
        except errors.ConnectionLost as error:
            if not self._repeat_is_safe():
                raise errors.ConnectionLost(
                    error.message, "the job may have started: check with `pushcli job list`"
                ) from error
            return self._json("POST", "pushy/jobs", body=body, headers=headers)

    def job(self, job_id: str, *, include_file: bool = False) -> Any:
        """One job with its nodes by state, and with the file that it brings to them if wanted."""
        params = {"include_file": "true"} if include_file else None
        return self._read(f"/{quoted(job_id)}", lambda path: self.get(path, params))

    def job_options(self, job_id: str, *, include_file: bool = False) -> dict[str, Any]:
        """What a job was started with that the old API has no words for; mostly nothing.

        Args:
            include_file: with the content of what its command read.
        """
        if run_wire.STDIN not in self.extensions:
            return {}
        params = {"include_file": "true"} if include_file else None
        found = self.get(f"pushy/own_jobs/{quoted(job_id)}", params)
        options = found.get(run_wire.OPTIONS_KEY, {}) if isinstance(found, dict) else {}
        return options if isinstance(options, dict) else {}

    def jobs(self) -> Any:
        """All jobs, without their nodes."""
        return self._read("", self.get)

    def job_page(self, query: Params) -> Any:
        """Some of the jobs (docs/extensions.md); of an older server all of them, in a list."""
        return self._read("", lambda path: self.get(path, query))

    def own_job_page(self, query: Params) -> Any:
        """The same of those that one started oneself."""
        return self.get("pushy/own_jobs", query)

    def _read(self, rest: str, read: Callable[[str], R]) -> R:
        """Read below `pushy/jobs`; where that is refused, what is one's own of it.

        Raises:
            PermissionDenied: it is not one's own either.
        """
        if self._only_own:
            return read(f"pushy/own_jobs{rest}")
        try:
            return read(f"pushy/jobs{rest}")
        except errors.PermissionDenied as error:
            if "own-jobs" not in self.extensions:
                raise
            refused = error
        try:
            found = read(f"pushy/own_jobs{rest}")
        except errors.PermissionDenied:
            # The group that was named first lets him see what he asked for.
            raise refused from None
        self._only_own = True
        return found

    def output_feed(
        self, job_id: str, nodes: Sequence[str] = (), last: str = ""
    ) -> Iterator[list[FeedEvent]]:
        """What a job's commands write as they write it, from the beginning or after `last`.

        An empty list is a sign of life. The last event is `end`.

        Args:
            nodes: of these only, if they are few; else of all.

        Raises:
            PushcliError: the server refused, or the connection broke.
        """
        headers = {"Accept": feed.MEDIA_TYPE, **({"Last-Event-ID": last} if last else {})}
        named = ",".join(nodes)
        are_few = 0 < len(nodes) <= _NAMED and len(named) <= _NAMED_SIZE
        params = {"nodes": named} if are_few else None
        path, parser = f"pushy/jobs/{quoted(job_id)}/output_feed", feed.EventParser()
        for block in self._http.stream(path, params=params, headers=headers, silence=feed.SILENCE):
            yield parser.feed(block)

    def job_feed(self, job_id: str, last: str = "") -> Iterator[list[FeedEvent]]:
        """A job's events as they come, from its start or after the event with the id `last`.

        An empty list is a sign of life. It ends with the job.

        Raises:
            PushcliError: the server refused, or the connection broke.
        """
        own = f"pushy/own_jobs/{quoted(job_id)}/feed"
        path = own if "own-jobs" in self.extensions else f"pushy/job_status_feed/{quoted(job_id)}"
        headers = {"Accept": feed.MEDIA_TYPE, **({"Last-Event-ID": last} if last else {})}
        parser = feed.EventParser()
        for block in self._http.stream(path, headers=headers, silence=feed.SILENCE):
            yield parser.feed(block)

    def job_nodes(self, job_id: str) -> Any:
        """Each node's part in a job; None if the server cannot tell."""
        if "job-nodes" not in self.extensions:
            return None
        return self.get(f"pushy/jobs/{quoted(job_id)}/nodes")

    def troubled_nodes(self, job_id: str, limit: int) -> Any:
        """The parts of nodes that need a look, the first ones; None if the server cannot tell."""
        if "troubled-nodes" not in self.extensions:
            return None
        params = {"troubled": "true", "limit": str(limit)}
        return self.get(f"pushy/jobs/{quoted(job_id)}/nodes", params)

    def output_of(self, job_id: str, digest: str) -> bytes:
        """What nodes of this job wrote, by its SHA-256 (hex).

        Raises:
            ServerError: it is something else.
        """
        path = f"pushy/jobs/{quoted(job_id)}/output/{quoted(digest)}"
        accept = {"Accept": "application/octet-stream"}
        content = self._http.request("GET", path, headers=accept).content
        if hashlib.sha256(content).hexdigest() != digest:
            raise errors.ServerError("the server sent another output than was asked for")
        return content

    def job_output(self, job_id: str, node: str, channel: str) -> bytes:
        """What the node's command wrote to `stdout` or `stderr`."""
        return self.job_output_marked(job_id, node, channel).data

    def job_output_marked(self, job_id: str, node: str, channel: str) -> MarkedOutput:
        """The same, with what the server says is missing of it."""
        accept = {"Accept": "application/octet-stream"}
        answer = self._read(
            f"/{quoted(job_id)}/output/{quoted(node)}/{channel}",
            lambda path: self._http.request("GET", path, headers=accept),
        )
        return MarkedOutput(
            answer.content,
            _count(answer.headers.get(OUTPUT_DROPPED, "")) or 0,
            _count(answer.headers.get(OUTPUT_CUT_AT, "")),
            answer.headers.get(OUTPUT_PARTIAL) == "1",
        )

    def abort_job(self, job_id: str) -> str:
        """Abort a job; returns the status that it has now."""
        answer = self.post(f"pushy/jobs/{quoted(job_id)}/abort", {})
        return str(answer.get("status", "")) if isinstance(answer, dict) else ""

    def node_states(self) -> Any:
        """All nodes and whether they are available."""
        states = self.get("pushy/node_states")
        return list(map(foreign.readable_state, states)) if isinstance(states, list) else states

    def node_state(self, node: str) -> Any:
        """One node and whether it is available."""
        return foreign.readable_state(self.get(f"pushy/node_states/{quoted(node)}"))

    def _repeat_is_safe(self) -> bool:
        """Whether the server, once it is back, knows the request id: it starts the job once."""
        deadline = time.monotonic() + RESTART_PATIENCE
        while time.monotonic() < deadline:
            try:
                self.get("pushy/node_states")
            except errors.ServerUnreachable:
                time.sleep(_RETRY)
                continue
            except errors.PushcliError:
                # A refusal, too, says what the server can.
                pass
            return "request-id" in self.extensions
        return False

    def _json(self, method: str, path: str, **more: Any) -> Any:
        headers = {"Accept": "application/json", **(more.pop("headers", None) or {})}
        return decoded(self._http.request(method, path, headers=headers, **more).content)


def _count(text: str) -> int | None:
    """A number of bytes in a header; None: it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _require_whole(
    wanted: dict[str, Any], understood: dict[str, Any], offered: frozenset[str]
) -> None:
    """Without its input or its secrets a command would do something else.

    Raises:
        RequestRefused: the server would not have it.
    """
    before, after = (each.get(run_wire.OPTIONS_KEY, {}) for each in (wanted, understood))
    if run_wire.STDIN in before and run_wire.STDIN not in after:
        raise foreign.cannot(offered, "give commands standard input", "send a --file")
    if run_wire.SECRET_ENV in before and run_wire.SECRET_ENV not in after:
        raise foreign.cannot(offered, "keep variables secret", "leave out --secret-env")


def _distinct(body: bytes) -> bytes:
    """The same JSON with blanks behind it that no other request has.

    Signatures name whole seconds, and a server takes many equal ones for one that was captured.
    """
    bits = int.from_bytes(secrets.token_bytes(_BLANKS // 8))
    return body + bytes(_BLANK[bits >> place & 1] for place in range(_BLANKS))


def server_of(profile: Profile) -> Server:
    """The profile's server."""
    return Server(
        url=profile.chef_server_url,
        others=profile.other_urls,
        ca_file=profile.ca_file,
        fingerprint=profile.fingerprint,
        remedy=profile.trust_remedy
        or f"give --ca-file or --fingerprint, or set one in profile {profile.name!r}",
    )


def requestor_of(profile: Profile) -> Requestor:
    """Who the profile is.

    Raises:
        ConfigError: the name or the key cannot be used.
    """
    return Requestor(
        profile.client_name,
        _key(profile.client_key),
        version=profile.signing_version,
        remedy=profile.identity_remedy
        or f"check client_name and client_key of profile {profile.name!r}",
    )


def _key(value: str) -> "RSAPrivateKey":
    if value.lstrip().startswith("-----BEGIN"):
        return keys.private_key(value.encode(), "client_key in the credentials file")
    return keys.load_private_key(Path(value))
