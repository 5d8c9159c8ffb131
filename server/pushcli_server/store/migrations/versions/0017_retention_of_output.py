"""Output is deleted after a while: which jobs have any, and who else refers to it."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def upgrade() -> None:
    op.add_column(
        "jobs",
        sa.Column("output_held", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column("jobs", sa.Column("output_deleted_at", sa.Float(precision=53)))
    op.add_column("jobs", sa.Column("output_deleted_by", sa.String(32)))
    op.execute("UPDATE jobs SET output_held = capture")
    _index("jobs", "updated_at", "output_held")
    _index("jobs", "file_digest", "file_digest IS NOT NULL")
    _index("jobs", "stdin_digest", "stdin_digest IS NOT NULL")
    _index("job_nodes", "stdout_digest", f"stdout_digest <> '{_EMPTY}'")
    _index("job_nodes", "stderr_digest", f"stderr_digest <> '{_EMPTY}'")
    op.create_index("ix_blobs_size", "blobs", ["size"])


def _index(table: str, column: str, condition: str) -> None:
    where: dict[str, Any] = {
        "sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition),
    }  # fmt: skip
    op.create_index(f"ix_{table}_{column}", table, [column], **where)
