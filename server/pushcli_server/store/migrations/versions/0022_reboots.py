"""Which nodes a job's command may restart is known after a restart of the server, too."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("job_nodes", sa.Column("reboots", sa.Boolean(), nullable=True))
