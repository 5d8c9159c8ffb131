"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_org_at"), "audit", ["org", "at"], unique=False)
    op.create_table(
        "blobs",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_blobs")),
    )
    op.create_table(
        "feed_events",
        sa.Column("feed", sa.String(length=300), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("microseconds", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("feed", "number", name=op.f("pk_feed_events")),
    )
    op.create_table(
        "group_members",
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("group_name", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("member", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint(
            "org", "group_name", "kind", "member", name=op.f("pk_group_members")
        ),
    )
    op.create_index(
        op.f("ix_group_members_org_kind_member"),
        "group_members",
        ["org", "kind", "member"],
        unique=False,
    )
    op.create_table(
        "keys",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("key_name", sa.String(length=255), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("kind", "org", "name", "key_name", name=op.f("pk_keys")),
    )
    op.create_table(
        "organizations",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_organizations")),
    )
    op.create_table(
        "users",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("superuser", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_users")),
    )
    op.create_table(
        "clients",
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("validator", sa.Boolean(), nullable=False),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name=op.f("fk_clients_org_organizations")
        ),
        sa.PrimaryKeyConstraint("org", "name", name=op.f("pk_clients")),
    )
    op.create_table(
        "groups",
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name=op.f("fk_groups_org_organizations")
        ),
        sa.PrimaryKeyConstraint("org", "name", name=op.f("pk_groups")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("quorum", sa.BigInteger(), nullable=False),
        sa.Column("run_timeout", sa.Float(precision=53), nullable=False),
        sa.Column("user", sa.Text(), nullable=True),
        sa.Column("dir", sa.Text(), nullable=True),
        sa.Column("env", sa.Text(), nullable=True),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("capture", sa.Boolean(), nullable=False),
        sa.Column("requestor", sa.String(length=255), nullable=False),
        sa.Column("request_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("updated_at", sa.Float(precision=53), nullable=False),
        sa.Column("voting_deadline", sa.Float(precision=53), nullable=True),
        sa.Column("run_deadline", sa.Float(precision=53), nullable=True),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name=op.f("fk_jobs_org_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint(
            "org", "requestor", "request_id", name=op.f("uq_jobs_org_requestor_request_id")
        ),
    )
    op.create_index(op.f("ix_jobs_org_created_at"), "jobs", ["org", "created_at"], unique=False)
    op.create_index(op.f("ix_jobs_status"), "jobs", ["status"], unique=False)
    op.create_table(
        "nodes",
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("incarnation", sa.Text(), nullable=True),
        sa.Column("curve_key", sa.String(length=40), nullable=True),
        sa.Column("previous_curve_key", sa.String(length=40), nullable=True),
        sa.Column("configured_at", sa.Float(precision=53), nullable=False),
        sa.Column("extensions", sa.Text(), nullable=False),
        sa.Column("chef_environment", sa.String(length=255), nullable=False),
        sa.Column("run_list", sa.Text(), nullable=False),
        sa.Column("attributes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name=op.f("fk_nodes_org_organizations")
        ),
        sa.PrimaryKeyConstraint("org", "name", name=op.f("pk_nodes")),
    )
    op.create_table(
        "organization_users",
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["name"], ["users.name"], name=op.f("fk_organization_users_name_users")
        ),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name=op.f("fk_organization_users_org_organizations")
        ),
        sa.PrimaryKeyConstraint("org", "name", name=op.f("pk_organization_users")),
    )
    op.create_table(
        "job_nodes",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.Float(precision=53), nullable=True),
        sa.Column("ended_at", sa.Float(precision=53), nullable=True),
        sa.Column("stdout_digest", sa.String(length=64), nullable=True),
        sa.Column("stdout_size", sa.BigInteger(), nullable=True),
        sa.Column("stderr_digest", sa.String(length=64), nullable=True),
        sa.Column("stderr_size", sa.BigInteger(), nullable=True),
        sa.Column("late_result", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_nodes_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", "node", name=op.f("pk_job_nodes")),
    )
