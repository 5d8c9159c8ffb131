"""Nodes have Chef's policies, and those whose client was deleted are gone."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_nodes = sa.table("nodes", sa.column("org"), sa.column("name"), sa.column("configured_at"))
_clients = sa.table("clients", sa.column("org"), sa.column("name"))
_fields = sa.table("node_fields", sa.column("org"), sa.column("node"))


def upgrade() -> None:
    for name in ("policy_name", "policy_group"):
        op.add_column(
            "nodes", sa.Column(name, sa.String(length=255), nullable=False, server_default="")
        )
    # Objects that somebody made for a node that never asked for a configuration stay.
    gone = sa.and_(
        _nodes.c.configured_at > 0,
        ~sa.select(_clients.c.name)
        .where(_clients.c.org == _nodes.c.org, _clients.c.name == _nodes.c.name)
        .exists(),
    )
    theirs = (
        sa.select(_nodes.c.name)
        .where(gone, _nodes.c.org == _fields.c.org, _nodes.c.name == _fields.c.node)
        .exists()
    )
    op.execute(sa.delete(_fields).where(theirs))
    op.execute(sa.delete(_nodes).where(gone))
