"""Clients know which jobs are older than they."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    # Of clients that are there already nobody knows when they came.
    op.add_column(
        "clients",
        sa.Column("older_jobs_until", sa.Float(precision=53), nullable=False, server_default="0"),
    )
