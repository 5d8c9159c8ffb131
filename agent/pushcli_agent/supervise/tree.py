"""All processes that came of the command."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PR_SET_CHILD_SUBREAPER = 36


def send(kill: "Callable[[int, int], None]", target: int, number: int) -> None:
    """A signal to a process that may be gone, or be somebody else's (it used sudo)."""
    try:
        kill(target, number)
    except (ProcessLookupError, PermissionError):
        return


def descendants(root: int) -> "Iterator[tuple[int, int]]":
    """Number and process group of every descendant of a process that is not a zombie."""
    children: dict[int, list[tuple[int, int, bool]]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib costs milliseconds
        if name.isdigit() and (stat := read_stat(name)) is not None:
            state, parent, group = stat
            children.setdefault(parent, []).append((int(name), group, state != b"Z"))
    parents = [root]
    while parents:
        for pid, group, alive in children.pop(parents.pop(), []):
            parents.append(pid)
            if alive:
                yield pid, group


def children() -> "list[int]":
    """Numbers of this process's children, zombies too; none where the kernel lists none."""
    try:
        descriptor = os.open("/proc/thread-self/children", os.O_RDONLY)
    except OSError:
        return []
    try:
        return [int(pid) for pid in os.read(descriptor, 65_536).split()]
    finally:
        os.close(descriptor)


def read_stat(pid: str) -> "tuple[bytes, int, int] | None":
    """State, parent and group of a process, or nothing if it is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        # The name, in parentheses, may hold anything.
        fields = os.read(descriptor, 1024).rpartition(b")")[2].split()
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return fields[0], int(fields[1]), int(fields[2])


def adopt_orphans() -> None:
    """Become the parent of all descendants that lose theirs (PR_SET_CHILD_SUBREAPER).

    A walk through /proc alone cannot find the grandchild whose parent ended after it called
    setsid: nothing ties it to the job any more. As their reaper we find every descendant
    below us, and know that none is left when we have no child; it costs 0.3 ms. Where it is
    not to be had, the group and what still hangs below us are killed.
    """
    try:
        import _ctypes  # noqa: PLC0415 - it may be missing

        library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
        prctl = _ctypes.dlsym(library, "prctl")
        _ctypes.call_function(prctl, (PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    except (ImportError, AttributeError, OSError):
        return
