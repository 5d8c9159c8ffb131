"""The lines of output that match an expression. No I/O."""

from pushcli.errors import UsageError
from pushcli.expressions import InvalidExpression, compiled
from pushcli.jobs.output import Outputs


class Grep:
    """An expression of google-re2, which no output makes slow, looked for in each line.

    Raises:
        UsageError: it cannot be read.
    """

    def __init__(self, expression: str, *, ignore_case: bool = False) -> None:
        self.expression = expression
        try:
            self._search = compiled(expression.encode(), ignore_case=ignore_case).search
        except InvalidExpression as error:
            raise UsageError(f"--grep {expression!r} is {error}", "see docs/cli.md") from error
        # Most nodes of a job wrote the same.
        self._known: dict[bytes, bytes] = {}

    def matches(self, line: bytes) -> bool:
        """Whether the line, which has no end, matches."""
        return self._search(line) is not None

    def lines(self, output: bytes) -> bytes:
        """The lines that match, with their ends."""
        if (known := self._known.get(output)) is not None:
            return known
        *lines, last = output.split(b"\n")
        # Most lines of a long output are others again: each is looked at once.
        matching = {line for line in {*lines} if self.matches(line)}
        found = b"".join(line + b"\n" for line in lines if line in matching)
        if last and self.matches(last):
            found += last
        self._known[output] = found
        return found

    def only(self, outputs: Outputs) -> Outputs:
        """What matches of each channel that has a match."""
        found = {channel: self.lines(output) for channel, output in outputs.items()}
        return {channel: lines for channel, lines in found.items() if lines}
