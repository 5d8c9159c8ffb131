"""Everything that runs beside the rest, found in the source: what becomes of its failure.

Whoever adds a task, a callback of the event loop, a thread or a signal's handler says here why
its failure ends nothing.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = (ROOT / "server/pushcli_server", ROOT / "agent/pushcli_agent", ROOT / "pushcli/logs")
_BACKGROUND = frozenset(
    {
        "create_task", "ensure_future", "call_later", "call_at", "call_soon",
        "call_soon_threadsafe", "add_reader", "add_writer", "add_signal_handler",
        "add_done_callback", "run_in_executor", "to_thread", "Thread", "Timer", "Process",
        "ThreadPoolExecutor", "TaskGroup", "gather", "start_server", "posix_spawn", "Popen",
        "signal", "set_wakeup_fd", "fork",
    }
)  # fmt: skip

_AWAITED = "awaited by the request, whose error boundary answers"
_GUARDED = "each call in it is guarded"
KNOWN = {
    # The server.
    ("supervised.py", "_add", "create_task"): "kept and begun again, or logged",
    ("supervised.py", "_add", "add_done_callback"): "takes it from a set",
    ("supervised.py", "__aexit__", "gather"): "the end, with what they raise",
    ("server.py", "_serve", "create_task"): "REST itself; uvicorn's loop, awaited by the server",
    ("server.py", "_serve", "gather"): "the end, with what it raises",
    ("server.py", "_run", "add_signal_handler"): "queues a look at the log's file",
    ("server.py", "_on_signals", "add_signal_handler"): "sets a flag; prints what may fail",
    ("server.py", "_on_signals", "add_done_callback"): "sets a flag",
    ("server.py", "_stand_by", "add_signal_handler"): "ends the waiting",
    ("server.py", "run", "create_task"): "feeds the watchdog, which ends the server else",
    ("standing_by.py", "_enter", "ensure_future"): "awaited, also by whom it is cancelled",
    ("standing_by.py", "_list", "create_task"): "what it has noted runs out",
    ("standing_by.py", "unlist", "gather"): "the end, with what it raises",
    ("standing_by.py", "_ask", "run_in_executor"): "awaited; else it is heard of no more",
    ("store.py", "start_alone", "create_task"): "ended with its store; else the lease runs out",
    ("store.py", "_apart", "run_in_executor"): "awaited, with what it raises",
    ("store.py", "close", "gather"): "the end, with what it raises",
    ("server.py", "main", "signal"): "ignored until the log is there",
    ("undisturbed.py", "undisturbed", "signal"): "ignored for a moment, then as before",
    ("askers.py", "submit", "Thread"): "what a question raises is its asker's",
    ("client.py", "ask", "run_in_executor"): "awaited; of one that took too long nothing is heard",
    ("identities.py", "_within", "gather"): "awaited, with what it raises",
    ("identities.py", "_each", "gather"): "awaited, with what it raises",
    ("running.py", "__call__", "run_in_executor"): "awaited, with what it raises",
    ("nodes.py", "_ask_all", "gather"): "awaited, with what it raises",
    ("nodes.py", "_keep", "ensure_future"): "awaited; else the next look reads again",
    ("nodes.py", "_keep", "add_done_callback"): "takes it from a set",
    ("identities.py", "_asked", "ensure_future"): "awaited by whoever waits for its answer",
    ("identities.py", "_asked", "add_done_callback"): "takes it from a dict, and its failure",
    ("copying.py", "_for_each", "gather"): "what a node raises is its own; else awaited there",
    ("moving.py", "_there", "TaskGroup"): "awaited, with what it raises first",
    ("moving.py", "_there", "create_task"): "awaited, with what it raises first",
    ("engine.py", "start", "add_done_callback"): "withdraws a job; the loop logs what fails",
    ("release.py", "_schedule", "call_soon"): _GUARDED,
    ("timers.py", "_arm", "call_later"): _GUARDED,
    ("broker.py", "bind", "add_reader"): "schedules a slice",
    ("broker.py", "_schedule", "call_soon"): _GUARDED,
    ("broker.py", "_wake", "call_later"): _GUARDED,
    ("broker.py", "_drain_gathered", "add_reader"): "schedules a slice, or a later one",
    ("accepting.py", "resume", "add_reader"): "its next call goes on where it failed",
    ("accepting.py", "_retry_after", "call_later"): "begins to accept again",
    ("doorman.py", "__init__", "add_reader"): _GUARDED,
    ("doorman.py", "_drain", "call_soon"): _GUARDED,
    ("publisher.py", "_accepted", "add_reader"): "of one connection",
    ("publisher.py", "spent", "call_soon"): "begins a new turn",
    ("publisher.py", "_send", "add_writer"): "of one connection",
    ("publisher.py", "_sweep", "call_later"): "begins again with the next connection",
    ("latest.py", "_schedule", "call_later"): "begins again with what a node says next",
    ("pieces.py", "while_there", "create_task"): "ended with its request",
    ("pieces.py", "while_there", "gather"): "the end, with what they raise",
    ("acceptor.py", "_begin", "create_task"): "of one connection",
    ("acceptor.py", "_begin", "add_done_callback"): "counts one connection less",
    ("http_protocol.py", "_arm", "call_later"): "closes one connection",
    ("http_protocol.py", "_leave_slowly", "call_later"): "ends one connection",
    ("readers.py", "__init__", "ThreadPoolExecutor"): "what a reader raises is its asker's",
    ("readers.py", "ask", "run_in_executor"): _AWAITED,
    ("store.py", "answered", "add_done_callback"): "looks at a result that nobody waits for",
    ("writer.py", "__init__", "Thread"): "catches everything, and tries again",
    ("writer.py", "_notify", "call_soon_threadsafe"): "sets answers; the loop logs what fails",
    ("logs.py", "__init__", "Thread"): "catches everything, and counts it",
    # The agent, whose loop tries each of its steps by itself.
    ("signals.py", "__init__", "signal"): "adds to a set",
    ("signals.py", "__init__", "set_wakeup_fd"): "a pipe that nobody waits for",
    ("child.py", "__init__", "Popen"): "its end and its answer are events",
    ("drain.py", "leave_drain", "fork"): "a process of its own, which reads and throws away",
    ("drain.py", "_become_small", "signal"): "of that process",
    ("drain.py", "_become_small", "set_wakeup_fd"): "of that process",
    ("spawn.py", "_spawn_supervisor", "posix_spawn"): "its end is an event",
    ("facts.py", "full_name", "Thread"): "of a child; given up after two seconds",
    ("process.py", "start", "fork"): "the supervisor's command",
    ("process.py", "restore_signals", "signal"): "the supervisor's command",
    ("process.py", "restore_signals", "set_wakeup_fd"): "the supervisor's command",
    ("descriptors.py", "catch_signals", "signal"): "of a supervisor, whose end is an event",
    ("descriptors.py", "catch_signals", "set_wakeup_fd"): "a pipe of the supervisor's own",
}  # fmt: skip


def calls() -> Iterator[tuple[str, str, str, int]]:
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            for function in ast.walk(tree):
                if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                for node in _own(function):
                    if isinstance(node, ast.Call) and (name := _name(node)) in _BACKGROUND:
                        yield path.name, function.name, name, node.lineno


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, without those within it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            # What a thread that is awaited raises is raised where it is awaited.
            if (
                isinstance(child, ast.Await)
                and isinstance(child.value, ast.Call)
                and _name(child.value) == "to_thread"
            ):
                yield from _own(child.value)
                continue
            yield child
            yield from _own(child)


def _name(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


@cache
def found() -> dict[tuple[str, str, str], int]:
    """The last line of each."""
    return {(file, function, name): line for file, function, name, line in calls()}


def test_what_runs_beside_the_rest_is_known_to_end_nothing() -> None:
    unknown = {".".join(place): line for place, line in found().items() if place not in KNOWN}
    assert unknown == {}, "say what becomes of its failure"


def test_nothing_is_listed_that_is_gone() -> None:
    assert KNOWN.keys() - found().keys() == set()
