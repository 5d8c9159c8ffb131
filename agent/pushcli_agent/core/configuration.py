"""What the server's configuration answer holds (Push Jobs protocol, section 4)."""

import msgspec

from pushcli.protocol import extensions

CHUNK = 32 * 1024
"""Bytes of output that travel in one message, unless the server's limit asks for fewer."""
_ENVELOPE = 2048
"""What a message needs besides the output that it carries."""


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the server, and what was agreed with it. Times in seconds."""

    host: str
    command_addr: str
    heartbeat_addr: str
    interval: float
    offline_threshold: int
    online_threshold: int
    curve_public_key: str
    """Z85."""
    session_key: bytes
    modulus: bytes
    """Of the server's RSA key, big-endian; numbers spare the agent a PEM parser."""
    exponent: int
    lifetime: float
    max_message_skew: float
    max_body_size: int
    incarnation_id: str
    extensions: frozenset[str]
    quiet_interval: float = 0.0
    """Between heartbeats while there is nothing to do; 0 without the extension `quiet`."""

    reconfigure_splay: float = 0.0
    """Over which agents ask again after a restart of the server; 0: it does not say."""

    @property
    def splay(self) -> float:
        """Seconds over which they do."""
        return self.reconfigure_splay or max(self.interval, self.quiet_interval)

    @property
    def silence(self) -> float:
        """Seconds without a heartbeat that mean that the server is offline: more than
        `offline_threshold` intervals, and half of one more for jitter."""
        return (self.offline_threshold + 0.5) * self.interval

    @property
    def is_quiet(self) -> bool:
        """Whether the server answers heartbeats: few are needed, and none are listened to."""
        return self.quiet_interval > 0

    @property
    def chunk(self) -> int:
        """Bytes of output for one message to this server, in base64 within its limit."""
        return max(1, min(CHUNK, (self.max_body_size - _ENVELOPE) * 3 // 4))

    @property
    def keeps_results(self) -> bool:
        """Whether it acknowledges results, so that they are kept until then."""
        return extensions.RESULTS in self.extensions

    @property
    def accepts_output(self) -> bool:
        """Whether it accepts output of any size and any bytes."""
        return extensions.OUTPUT in self.extensions

    @property
    def accepts_stream(self) -> bool:
        """Whether it accepts output of commands that still run."""
        return self.keeps_results and self.accepts_output and extensions.STREAM in self.extensions

    @property
    def accepts_partial(self) -> bool:
        """Whether it wants results of what was aborted or lost, too."""
        return self.keeps_results and extensions.PARTIAL in self.extensions

    def same_channel(self, other: "ServerConfig | None") -> bool:
        """Whether connections made with the one serve the other too."""
        if other is None:
            return False
        times = {"lifetime": other.lifetime, "reconfigure_splay": other.reconfigure_splay}
        return msgspec.structs.replace(self, **times) == other
