"""A short-lived process of the agent's own, with a question and an answer.

What it loads for that would stay in the agent's memory for good (`pushcli.client.http` has the
figures).
"""

import os
import subprocess
import sys

_MAX_ANSWER = 262_144
_START = "import gc; gc.disable(); from {} import main; main()"
"""It lives for one answer: looking for garbage among what it imports would cost 7 ms of 120."""


class Child:
    """One question under way.

    Args:
        module: its `main` reads the question on standard input and prints the answer.
        question: what fits into a pipe.

    Raises:
        OSError: no process can be made.
    """

    def __init__(self, module: str, question: bytes) -> None:
        question_end, asked = os.pipe()
        self.fd, answered = os.pipe()
        # Who looks too early gets nothing: the agent has more to do than to wait for it.
        os.set_blocking(self.fd, False)
        self._answer = b""
        try:
            # It fits into the pipe: nobody has to read it yet.
            os.write(asked, question)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START.format(module)],
                stdin=question_end,
                stdout=answered,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            os.close(self.fd)
            raise
        finally:
            for end in (question_end, asked, answered):
                os.close(end)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def receive(self) -> tuple[bytes, int] | None:
        """Take what it wrote by now; at its end that, and its status."""
        try:
            data = os.read(self.fd, _MAX_ANSWER)
        except BlockingIOError:
            return None
        self._answer += data
        if data and len(self._answer) <= _MAX_ANSWER:
            return None
        return self._answer, self.end(kill=bool(data))

    def end(self, *, kill: bool) -> int:
        """Its exit status; without `kill` it has closed its output and is about to end."""
        os.close(self.fd)
        try:
            return self._process.wait(0.0 if kill else 1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
