"""Output of commands that were cut short, and how much of it is missing."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("job_nodes", sa.Column("partial", sa.Boolean(), nullable=True))
    op.add_column("job_nodes", sa.Column("stdout_dropped", sa.BigInteger(), nullable=True))
    op.add_column("job_nodes", sa.Column("stderr_dropped", sa.BigInteger(), nullable=True))
