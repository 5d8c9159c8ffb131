"""What a Chef Infra Server says of its nodes stands apart from what this server kept of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.create_table(
        "mirrored_nodes",
        sa.Column("org", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("there", sa.Boolean(), nullable=False),
        sa.Column("shown", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("default", sa.Text(), nullable=False),
        sa.Column("normal", sa.Text(), nullable=False),
        sa.Column("override", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name="fk_mirrored_nodes_org_organizations"
        ),
        sa.PrimaryKeyConstraint("org", "name", name="pk_mirrored_nodes"),
    )
