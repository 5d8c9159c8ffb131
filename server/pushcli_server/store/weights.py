"""How much memory operations take that wait to be written, about."""

from collections.abc import Callable, Iterable
from typing import Any

from pushcli_server.store import operations
from pushcli_server.store.operations import Operation


def weight_of(ops: Iterable[Operation]) -> int:
    """Bytes of what is long in these operations; what is short in all of them does not count."""
    total = 0
    for op in ops:
        weigh = _WEIGH.get(type(op))
        if weigh is not None:
            total += weigh(op)
    return total


def _of_insert(op: operations.InsertJob) -> int:
    brought = len(op.file or "") + len(op.stdin or "")
    return brought + len(op.job.command) + len(op.job.env or "") + 100 * len(op.nodes)


def _of_changes(op: operations.UpdateJobNodes) -> int:
    return sum(len(change.reason or "") for change in op.changes)


def _of_output(op: operations.StoreOutput) -> int:
    return sum(len(part) for part in (op.stdout, op.stderr) if isinstance(part, bytes))


def _of_node(op: operations.PutNode) -> int:
    node = op.node
    levels = (node.run_list, node.automatic, node.normal, node.default, node.override)
    return sum(len(level) for level in levels)


def _of_mirrored(op: operations.MirrorNodes) -> int:
    levels = ((node.default, node.normal, node.override) for node in op.nodes)
    return sum(len(level) for node in levels for level in node)


_WEIGH: dict[type, Callable[[Any], int]] = {
    operations.InsertJob: _of_insert,
    operations.UpdateJobNodes: _of_changes,
    operations.StoreOutput: _of_output,
    operations.AppendOutput: lambda op: len(op.data),
    operations.LateResult: lambda op: len(op.detail),
    operations.AppendEvent: lambda op: len(op.data),
    operations.PutNode: _of_node,
    operations.MirrorNodes: _of_mirrored,
    operations.SetAutomatic: lambda op: len(op.automatic),
    operations.SaveWhitelistReport: lambda op: len(op.report),
}
