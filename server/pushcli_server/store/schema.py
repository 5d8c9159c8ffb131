"""The tables. A change here needs a migration, which a test compares with this."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Double precision: a time of day needs its microseconds.
Time = Float(53)
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The digest of nothing at all, which most commands write to standard error."""
# SQLite counts up by itself only for INTEGER.
Serial = BigInteger().with_variant(Integer, "sqlite")


def _where(condition: str) -> dict[str, Any]:
    """What makes an index one of some rows only, on each database."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


organizations = Table("organizations", metadata, Column("name", String(255), primary_key=True))

users = Table(
    "users",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("superuser", Boolean, nullable=False),
    Column("display_name", Text),
    Column("email", Text),
)

organization_users = Table(
    "organization_users",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("name", ForeignKey("users.name"), primary_key=True),
)

clients = Table(
    "clients",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("validator", Boolean, nullable=False),
    # When the newest job of the organization was made that there was when the client came: it
    # and older ones are none of this client's, but of whoever had its name before.
    Column("older_jobs_until", Time, nullable=False),
    # Its node's session key is derived from it, too; empty: the client is older than salts.
    Column("session_salt", String(32), nullable=False),
)

# There is a row where users, clients and groups of a Chef Infra Server may count though there
# are some here.
chef_allowed = Table(
    "chef_allowed",
    metadata,
    Column("url", Text, primary_key=True),
    Column("at", Time, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("kind", String(8), primary_key=True),
    Column("org", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("key_name", String(255), primary_key=True),
    Column("public_key", Text, nullable=False),
    Column("expires_at", Time),
)

# One-time enrolment: instead of the validator's key, that all nodes would share.
tokens = Table(
    "tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("org", ForeignKey("organizations.name"), nullable=False),
    Column("digest", String(64), nullable=False),
    # The only name that may enroll with it; absent: any.
    Column("node", String(255)),
    Column("uses_left", Integer, nullable=False),
    Column("expires_at", Time, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("created_at", Time, nullable=False),
    Index(None, "org"),
)

groups = Table(
    "groups",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("name", String(255), primary_key=True),
)

group_members = Table(
    "group_members",
    metadata,
    Column("org", String(255), primary_key=True),
    Column("group_name", String(255), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("member", String(255), primary_key=True),
    Index(None, "org", "kind", "member"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("incarnation", Text),
    Column("curve_key", String(40)),
    Column("previous_curve_key", String(40)),
    # By which keys of its client these were admitted: fingerprints; empty: not known.
    Column("client_key", String(64), nullable=False),
    Column("previous_client_key", String(64), nullable=False),
    Column("configured_at", Time, nullable=False),
    Column("extensions", Text, nullable=False),
    # What its agent says that it is: `pushcli/0.2.0`; absent: it says nothing, as old ones do.
    Column("agent", String(64)),
    Column("created_at", Time, nullable=False),
    # The Chef node object. `run_list` and the four levels of attributes are JSON text;
    # `revision` rises with each change of them; 0: there is no object, only an enrolled node.
    Column("chef_environment", String(255), nullable=False),
    # Of Chef's policies; empty: none.
    Column("policy_name", String(255), nullable=False),
    Column("policy_group", String(255), nullable=False),
    Column("run_list", Text, nullable=False),
    Column("automatic", Text, nullable=False),
    Column("normal", Text, nullable=False),
    Column("default", Text, nullable=False),
    Column("override", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    # What the agent last said of its whitelist (JSON text).
    Column("whitelist_report", Text),
)

# What a Chef Infra Server says of its nodes, apart from what was ours: only of `push_jobs`, as a
# level's JSON text, `{}` where it says nothing.
mirrored_nodes = Table(
    "mirrored_nodes",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("name", String(255), primary_key=True),
    # Or it was deleted there, and its agent may not know yet.
    Column("there", Boolean, nullable=False),
    # Digests: of what search showed when the levels were read, and of the levels.
    Column("shown", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("default", Text, nullable=False),
    Column("normal", Text, nullable=False),
    Column("override", Text, nullable=False),
)

# Organizations whose jobs do not start, and who wanted that, when and why.
freezes = Table(
    "freezes",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("actor_kind", String(8), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("at", Time, nullable=False),
)

# Nodes that take no part in jobs until then.
node_pauses = Table(
    "node_pauses",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("node", String(255), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("actor_kind", String(8), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("at", Time, nullable=False),
    Column("until", Time, nullable=False),
)

# What search looks at: each attribute of each node, flattened, as text and, where it is one,
# as a number.
node_fields = Table(
    "node_fields",
    metadata,
    Column("org", String(255), primary_key=True),
    Column("node", String(255), primary_key=True),
    Column("field", String(255), primary_key=True),
    Column("value", String(255), primary_key=True),
    Column("number", Time),
    Index(None, "org", "field", "value"),
)

# Signed statements about who may edit whitelists, as their signers made them: of the old form,
# the newest about each key, for agents that know no other.
whitelist_editors = Table(
    "whitelist_editors",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("statement", Text, nullable=False),
    # Whether it was there before there could be a chain.
    Column("inherited", Boolean),
)

# The chain of them, in its order.
editor_statements = Table(
    "editor_statements",
    metadata,
    Column("org", ForeignKey("organizations.name"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("statement", Text, nullable=False),
    # Of the first one, and of a checkpoint: the statements that it stands for, as JSON text.
    Column("base", Text),
    UniqueConstraint("org", "digest"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("org", ForeignKey("organizations.name"), nullable=False),
    Column("command", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("quorum", BigInteger, nullable=False),
    Column("run_timeout", Time, nullable=False),
    Column("user", Text),
    Column("dir", Text),
    Column("env", Text),
    # A blob: nobody who lists jobs wants to read their files.
    Column("file_digest", String(64)),
    Column("capture", Boolean, nullable=False),
    # A little of its output is kept though nobody asked for it.
    Column("default_capture", Boolean, nullable=False, server_default=false()),
    Column("exact_env", Boolean, nullable=False, server_default=false()),
    # Names of its secret variables (JSON text); their values are not stored.
    Column("secret_names", Text),
    # What its command reads, likewise a blob.
    Column("stdin_digest", String(64)),
    # What it has in common with the jobs of other batches.
    Column("batch", String(32)),
    Column("requestor", String(255), nullable=False),
    # Who may read it as his own: a `user` or `client`; absent once he has left the organization.
    Column("owner_kind", String(8)),
    Column("owner", String(255)),
    # The address that it was started from; absent in jobs of versions before 0016.
    Column("origin", Text),
    Column("request_id", String(255)),
    Column("created_at", Time, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("voting_deadline", Time),
    Column("run_deadline", Time),
    # Whether there may be output of it.
    Column("output_held", Boolean, nullable=False, server_default=false()),
    # When its output was deleted, and the setting that had it deleted.
    Column("output_deleted_at", Time),
    Column("output_deleted_by", String(32)),
    UniqueConstraint("org", "requestor", "request_id"),
    Index(None, "org", "created_at"),
    Index(None, "org", "owner_kind", "owner", "created_at"),
    Index(None, "status"),
    Index(None, "updated_at", **_where("output_held")),
    Index("ix_jobs_age", "updated_at"),
    Index(None, "file_digest", **_where("file_digest IS NOT NULL")),
    Index(None, "stdin_digest", **_where("stdin_digest IS NOT NULL")),
)

job_nodes = Table(
    "job_nodes",
    metadata,
    Column("job_id", ForeignKey("jobs.id"), primary_key=True),
    Column("node", String(255), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("started_at", Time),
    Column("ended_at", Time),
    Column("stdout_digest", String(64)),
    Column("stdout_size", BigInteger),
    Column("stderr_digest", String(64)),
    Column("stderr_size", BigInteger),
    Column("late_result", Text),
    # Of a node that reported: whether its command was cut short.
    Column("partial", Boolean),
    # Bytes that are missing.
    Column("stdout_dropped", BigInteger),
    Column("stderr_dropped", BigInteger),
    # Where the first of them would be.
    Column("stdout_cut_at", BigInteger),
    Column("stderr_cut_at", BigInteger),
    # Whether the command may restart the node, as its vote said.
    Column("reboots", Boolean),
    # Who else refers to a content is asked only where there is one.
    Index(None, "stdout_digest", **_where(f"stdout_digest <> '{EMPTY}'")),
    Index(None, "stderr_digest", **_where(f"stderr_digest <> '{EMPTY}'")),
)

# Of nodes that took part and did not succeed. Written out: only where a question has the very same
# text do databases see that the index serves it.
HAS_FAILED = text("state IN ('failed', 'crashed', 'timed_out', 'aborted')")
Index(
    "ix_job_nodes_failed",
    job_nodes.c.job_id,
    sqlite_where=HAS_FAILED,
    postgresql_where=HAS_FAILED,
)

# What commands wrote, and what jobs bring to their nodes.
blobs = Table(
    "blobs",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    # Absent where the bytes are in pieces, or lie in a file of this name.
    Column("data", LargeBinary),
    # How much there is in all is added up without a look at the bytes.
    Index(None, "size"),
    # They are few, and looked through when a server begins.
    Index("ix_blobs_large", "digest", **_where("data IS NULL")),
)

# Of content that is too large for one row: where the database is one that others can reach.
blob_pieces = Table(
    "blob_pieces",
    metadata,
    Column("digest", ForeignKey("blobs.digest", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

feed_events = Table(
    "feed_events",
    metadata,
    Column("feed", String(300), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("microseconds", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# Of signed requests that were carried out: a captured one does nothing a second time.
signatures = Table(
    "signatures",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("org", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("signed_at", Time, nullable=False),
    Column("at", Time, nullable=False),
    Column("job_id", String(32)),
    Index(None, "signed_at"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("at", Time, nullable=False),
    Column("org", String(255), nullable=False),
    # Absent in what versions before 0005 wrote.
    Column("actor_kind", String(8)),
    Column("actor", String(255), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("detail", Text),
    Index(None, "org", "at"),
)

# Whoever works with this database, by its lease: `renewed_at` is absent once it ended.
servers = Table(
    "servers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("incarnation_id", String(36), nullable=False),
    Column("host", String(255), nullable=False),
    Column("process", String(255), nullable=False),
    Column("started_at", Time, nullable=False),
    Column("lease", Time, nullable=False),
    Column("renewals", BigInteger, nullable=False),
    Column("renewed_at", Time),
)
