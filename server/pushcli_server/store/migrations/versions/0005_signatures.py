"""Signatures of what was carried out, and what kind of actor the audit trail names."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "signatures",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("org", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("signed_at", sa.Float(precision=53), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_signatures")),
    )
    op.create_index(op.f("ix_signatures_signed_at"), "signatures", ["signed_at"], unique=False)
    op.add_column("audit", sa.Column("actor_kind", sa.String(length=8), nullable=True))
