"""What a Chef Infra Server said of its nodes, as SQL: apart from the node objects that were ours,
which are there again as they were if this server keeps its own again.
"""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import astuple
from sqlalchemy import Connection, bindparam, delete, select

from pushcli_server.store import operations, schema
from pushcli_server.store.bulk import insert_rows
from pushcli_server.store.records import MirroredNode

_nodes = schema.mirrored_nodes


def of_organization(connection: Connection, org: str) -> list[tuple[str, bool, str, str]]:
    """Of all of its nodes the name, whether it is there, and the two digests."""
    columns = (_nodes.c.name, _nodes.c.there, _nodes.c.shown, _nodes.c.digest)
    found = connection.execute(select(*columns).where(_nodes.c.org == org))
    return [(row.name, row.there, row.shown, row.digest) for row in found]


def _mirror(connection: Connection, ops: Sequence[operations.MirrorNodes]) -> None:
    for op in ops:
        gone = [{"node": name} for name in (*(node.name for node in op.nodes), *op.forgotten)]
        if gone:
            its_row = (_nodes.c.org == op.org, _nodes.c.name == bindparam("node"))
            connection.execute(delete(_nodes).where(*its_row), gone)
        names = ("org", *MirroredNode.__struct_fields__)
        insert_rows(connection, _nodes, names, [(op.org, *astuple(node)) for node in op.nodes])


BATCHES: dict[type, Callable[[Connection, Any], None]] = {operations.MirrorNodes: _mirror}
