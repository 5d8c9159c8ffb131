"""Room for the digests of jobs' files. From here on older programs refuse the database."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("file_digest", sa.String(length=64), nullable=True))
