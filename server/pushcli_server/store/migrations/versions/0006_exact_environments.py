"""Jobs whose variables must keep their names."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("exact_env", sa.Boolean(), nullable=False, server_default=sa.false())
    )
