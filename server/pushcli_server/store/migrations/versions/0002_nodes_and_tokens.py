"""Chef node objects with their search index, enrolment tokens, editors of whitelists."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("users", sa.Column("display_name", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("email", sa.Text(), nullable=True))
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=True),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.Column("created_by", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name=op.f("fk_tokens_org_organizations")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
    )
    op.create_index(op.f("ix_tokens_org"), "tokens", ["org"], unique=False)
    # Nobody wrote to it yet.
    op.drop_column("nodes", "attributes")
    for level in ("automatic", "normal", "default", "override"):
        op.add_column("nodes", sa.Column(level, sa.Text(), nullable=False, server_default="{}"))
    op.add_column(
        "nodes", sa.Column("revision", sa.BigInteger(), nullable=False, server_default="1")
    )
    op.add_column("nodes", sa.Column("whitelist_report", sa.Text(), nullable=True))
    op.create_table(
        "node_fields",
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("field", sa.String(length=255), nullable=False),
        sa.Column("value", sa.String(length=255), nullable=False),
        sa.Column("number", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("org", "node", "field", "value", name=op.f("pk_node_fields")),
    )
    op.create_index(
        op.f("ix_node_fields_org_field_value"),
        "node_fields",
        ["org", "field", "value"],
        unique=False,
    )
    op.create_table(
        "whitelist_editors",
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["org"], ["organizations.name"], name=op.f("fk_whitelist_editors_org_organizations")
        ),
        sa.PrimaryKeyConstraint("org", "key", name=op.f("pk_whitelist_editors")),
    )
