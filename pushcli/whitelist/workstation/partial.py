"""An edit of many nodes that breaks off says how far it came."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pushcli.errors import PushcliError
from pushcli.terminal.folding import fold


class BrokenOff(KeyboardInterrupt):
    """The operator left in the middle; the text says how far it was."""


@contextmanager
def naming_what_is_done(nodes: Sequence[str], done: Sequence[str]) -> Iterator[None]:
    """Adds to an error which of the nodes are done, if any are.

    Args:
        done: grows meanwhile.
    """
    try:
        yield
    except PushcliError as error:
        if done:
            error.remedy = "; ".join(filter(None, (error.remedy, _progress(nodes, done))))
        raise
    except KeyboardInterrupt as error:
        raise BrokenOff(_progress(nodes, done)) from error


def _progress(nodes: Sequence[str], done: Sequence[str]) -> str:
    finished = set(done)
    left = [node for node in nodes if node not in finished]
    return f"done: {fold(done) or 'none'}; not done: {fold(left)}"
