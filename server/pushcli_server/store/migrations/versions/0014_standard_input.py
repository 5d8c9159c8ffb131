"""Jobs that bring standard input for their commands."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("stdin_digest", sa.String(64)))
