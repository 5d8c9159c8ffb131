"""Each client has a salt, so that its session key is not that of the next of its name."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # Agents of clients that are there already go on with the session key that they have.
    op.add_column(
        "clients",
        sa.Column("session_salt", sa.String(length=32), nullable=False, server_default=""),
    )
