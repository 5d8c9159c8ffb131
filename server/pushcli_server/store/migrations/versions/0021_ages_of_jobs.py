"""The oldest jobs are found among many."""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_index("ix_jobs_age", "jobs", ["updated_at"])
