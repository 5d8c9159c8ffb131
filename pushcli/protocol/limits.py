"""Bounds that both ends keep: who sends holds back what the other one would refuse."""

MAX_REQUEST = 1_000_000
"""Bytes of a REST request's body."""
MAX_FILE = 100_000
"""Bytes of a job's file."""
MAX_DEFAULT_OUTPUT = 65_536
"""Bytes of a channel that are kept on a node if nobody asked for its output."""
MAX_RUN = 250_000
"""Bytes, as JSON, of all that is to be run: it travels in one message, which agents bound."""
DEFAULT_RUN_TIMEOUT: float = 3600
"""Seconds for which a command may run if nobody says otherwise."""
MAX_RUN_TIMEOUT = 1_000_000_000
"""Seconds for which a command may run: some thirty years."""
MAX_QUORUM = 2**31 - 1
"""Nodes that a job may need: more than there can be."""
MAX_CHANGES = 1_000
"""Entries of whitelists that one edit changes, on as many nodes as it likes."""
MAX_ANNOUNCED = 500
"""Nodes of a Chef Infra Server that one request says were changed."""
MAX_LEAVES = 200_000
"""Entries times nodes of one edit: what one signature covers."""
MAX_VERSION = 2**62
"""Of a whitelist's entry or of a statement about an editor: microseconds since the epoch."""
MAX_AHEAD = 300
"""Seconds by which a version may be ahead of the clock of whoever reads it."""
MAX_FINGERPRINT = 64
"""Characters of a key's fingerprint."""
MAX_STATEMENTS = 200
"""About editors, in one message."""
MAX_STATEMENTS_SIZE = 100_000
"""Bytes of them as JSON, in one message."""
MAX_USES = 100_000
"""Nodes that one enrolment token lets in."""
MAX_RECORDS = 10_000
"""Records of the audit trail in one answer."""
MAX_JOBS = 200
"""Jobs in one page."""
MAX_URLS = 16
"""Of one server, in a profile or on a node."""
MAX_GLOB = 255
"""Characters of a glob that commands are looked for with."""
LAST_MOMENT = 253_402_300_799
"""Seconds since the epoch to the end of the year 9999: no date is later."""
MAX_PAUSED = 10_000
"""Nodes that one request pauses, or lets take part again."""
MAX_PAUSE = 366 * 86_400
"""Seconds for which a node is paused."""
