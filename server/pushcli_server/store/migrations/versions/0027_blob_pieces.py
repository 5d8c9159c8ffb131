"""Large content may be in the database, in pieces."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.create_table(
        "blob_pieces",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "number", name="pk_blob_pieces"),
        sa.ForeignKeyConstraint(
            ["digest"], ["blobs.digest"], name="fk_blob_pieces_digest_blobs", ondelete="CASCADE"
        ),
    )
    large = sa.text("data IS NULL")
    op.create_index(
        "ix_blobs_large", "blobs", ["digest"], sqlite_where=large, postgresql_where=large
    )
