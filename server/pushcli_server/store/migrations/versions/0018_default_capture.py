"""Jobs of which a little output is kept though nobody asked for it."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column("default_capture", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
