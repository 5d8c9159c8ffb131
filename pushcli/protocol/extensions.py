"""Names of what our agent and server can do beyond the old protocol (docs/extensions.md).

The agent offers its names with the config request, the server answers with those that it
offers too; neither uses a field or message of a name that is not in both.
"""

ADOPT = "adopt"
"""`&adopts=JOBID` in the config request: jobs that this agent still has after a restart."""
CAPTURE = "capture"
"""`default_capture` in `commit`: keep a little of what the command writes."""
CHECKS = "checks"
"""`check` and `checked` messages: would this node run that?"""
EDITORS = "editors"
"""`chain` in `whitelist` messages: statements about editors that each name the one before."""
FACTS = "facts"
"""`facts` messages: the node's automatic attributes."""
OUTPUT = "output"
"""`output` and `ack_output` messages: output of any size and any bytes."""
PARTIAL = "partial"
"""Results of what was aborted or lost its supervisor, and how much output is missing."""
PINS = "pins"
"""`pinned` in `whitelist_report`: the editors' keys that a node trusts by itself."""
POLICY = "policy"
"""`exact_env` in `commit`, `env` in `check`, `keys` and `open` in `whitelist_report`: what of a
job a node lets its caller choose.
"""
QUIET = "quiet"
"""`beat` messages answer heartbeats, of which an agent that has nothing to do sends few; it does
not listen to the server's broadcast.
"""
REASON = "reason"
"""`reason` in `nack_commit`."""
REBOOTS = "reboots"
"""`reboots` in `ack_commit`: the command may restart its node."""
REQUESTOR = "requestor"
"""`requestor` in `commit`."""
RESULTS = "results"
"""Results are kept until `ack_result`; heartbeats carry `pending_results`."""
SECRETS = "secrets"
"""`secret_env` in `commit`: variables whose values are nobody else's business."""
SPLAY = "splay"
"""`reconfigure_splay` in the configuration: how far apart agents ask for it after a restart."""
STDIN = "stdin"
"""`stdin` in `commit`: what the command reads from standard input."""
STREAM = "stream"
"""`output` messages of commands that still run; `head` there and in results, `enough` in
`ack_output`.
"""
TIMEOUT = "timeout"
"""`run_timeout` in `commit`."""
WHITELIST = "whitelist"
"""`whitelist` and `whitelist_report` messages; `whitelist` in heartbeats."""

ALL = frozenset({
    ADOPT, CAPTURE, CHECKS, EDITORS, FACTS, OUTPUT, PARTIAL, PINS, POLICY, QUIET, REASON, REBOOTS,
    REQUESTOR, RESULTS, SECRETS, SPLAY, STDIN, STREAM, TIMEOUT, WHITELIST,
})  # fmt: skip


def parse(text: str) -> frozenset[str]:
    """The known names in a comma-separated list; unknown ones are left out."""
    return ALL.intersection(text.split(","))


def render(names: frozenset[str]) -> str:
    """The names as they travel, comma-separated and sorted."""
    return ",".join(sorted(names))
