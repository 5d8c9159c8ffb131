"""A server with users of its own may go by those of a Chef Infra Server."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "chef_allowed",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("url", name="pk_chef_allowed"),
    )
