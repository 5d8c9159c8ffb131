"""Which operations go together into one statement, with the outcome that they have in order."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from pushcli_server.store import operations
from pushcli_server.store.operations import Operation, SaveNode, SaveWhitelistReport, SetAutomatic

_OfNode = SaveNode | SetAutomatic | SaveWhitelistReport
_IDENTITIES = 0
_FEEDS = 6
_NODES = 7
_TOPIC: dict[type, int] = {
    operations.InsertJob: 1,
    operations.UpdateJob: 2,
    operations.UpdateJobNodes: 3,
    operations.StoreOutput: 4,
    operations.LateResult: 5,
    operations.AppendEvent: _FEEDS,
    operations.DropEvents: _FEEDS,
    SaveNode: _NODES,
    SetAutomatic: _NODES,
    SaveWhitelistReport: _NODES,
    operations.Audit: 8,
    operations.AppendOutput: 9,
    operations.JoinTail: 9,
    operations.RememberSignature: 10,
    operations.ForgetSignatures: 10,
}
_RANK: dict[type, int] = {SaveNode: 0, SetAutomatic: 1, SaveWhitelistReport: 2}


def runs(ops: Iterable[Operation]) -> Iterator[Sequence[Operation]]:
    """Runs of one kind.

    Within a topic the order is kept. Topics touch different rows or columns, but for what
    others refer to: that comes first.
    """
    by_topic: dict[int, list[Operation]] = {}
    for op in ops:
        by_topic.setdefault(_TOPIC.get(type(op), _IDENTITIES), []).append(op)
    for topic in sorted(by_topic):
        if topic == _NODES:
            yield from _runs_of_nodes(op for op in by_topic[topic] if isinstance(op, _OfNode))
        else:
            yield from (list(run) for _, run in groupby(by_topic[topic], type))


def _runs_of_nodes(ops: Iterable[_OfNode]) -> Iterator[Sequence[Operation]]:
    """Rounds by kind, in each of which a node has one of a kind at most.

    A fleet that comes up saves and describes one node after the other. Only each node's own
    operations need to keep their order.
    """
    last: dict[tuple[str, str], tuple[int, int]] = {}
    placed: list[tuple[tuple[int, int], _OfNode]] = []
    for op in ops:
        node, rank = _node(op), _RANK[type(op)]
        round_, before = last.get(node, (0, -1))
        last[node] = (round_ + (rank <= before), rank)
        placed.append((last[node], op))
    placed.sort(key=itemgetter(0))
    for _, run in groupby(placed, itemgetter(0)):
        yield [op for _, op in run]


def _node(op: _OfNode) -> tuple[str, str]:
    match op:
        case SaveNode(node):
            return node.org, node.name
        case SetAutomatic():
            return op.org, op.name
        case SaveWhitelistReport():
            return op.org, op.node
