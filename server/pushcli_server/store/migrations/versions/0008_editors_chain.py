"""Statements about editors that each name the one before; those that there are stay as they are."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "editor_statements",
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name="fk_editor_statements_org_organizations"
        ),
        sa.PrimaryKeyConstraint("org", "place", name="pk_editor_statements"),
        sa.UniqueConstraint("org", "digest", name="uq_editor_statements_org_digest"),
    )
    op.add_column("whitelist_editors", sa.Column("inherited", sa.Boolean(), nullable=True))
    op.execute("UPDATE whitelist_editors SET inherited = TRUE")
