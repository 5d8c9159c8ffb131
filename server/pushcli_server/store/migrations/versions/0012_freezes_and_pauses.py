"""Jobs that are frozen, nodes that are paused, whose a job is, and what agents are."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "freezes",
        sa.Column("org", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor_kind", sa.String(8), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name="fk_freezes_org_organizations"
        ),
        sa.PrimaryKeyConstraint("org", name="pk_freezes"),
    )
    op.create_table(
        "node_pauses",
        sa.Column("org", sa.String(255), nullable=False),
        sa.Column("node", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor_kind", sa.String(8), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("until", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name="fk_node_pauses_org_organizations"
        ),
        sa.PrimaryKeyConstraint("org", "node", name="pk_node_pauses"),
    )
    op.add_column("nodes", sa.Column("agent", sa.String(64)))
    # Of jobs that are there already nobody knows whether a user or a client started them.
    op.add_column("jobs", sa.Column("owner_kind", sa.String(8)))
    op.add_column("jobs", sa.Column("owner", sa.String(255)))
    op.create_index(
        "ix_jobs_org_owner_kind_owner_created_at",
        "jobs",
        ["org", "owner_kind", "owner", "created_at"],
    )
