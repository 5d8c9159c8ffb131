"""Where output is cut is known."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("job_nodes", sa.Column("stdout_cut_at", sa.BigInteger))
    op.add_column("job_nodes", sa.Column("stderr_cut_at", sa.BigInteger))
