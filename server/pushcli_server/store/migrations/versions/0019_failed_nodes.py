"""Jobs in which nodes failed are found among many."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    failed = sa.text("state IN ('failed', 'crashed', 'timed_out', 'aborted')")
    op.create_index(
        "ix_job_nodes_failed", "job_nodes", ["job_id"], sqlite_where=failed, postgresql_where=failed
    )
