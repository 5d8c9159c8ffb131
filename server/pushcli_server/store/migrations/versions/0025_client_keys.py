"""By which keys of its client a node's connections were admitted: they end with those."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    for name in ("client_key", "previous_client_key"):
        op.add_column("nodes", sa.Column(name, sa.String(64), nullable=False, server_default=""))
