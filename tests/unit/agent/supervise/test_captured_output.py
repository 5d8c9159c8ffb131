"""What is kept of a command's output, and given up for its result."""

import os
from pathlib import Path

from pushcli_agent.supervise.captured_output import CapturedOutput


def test_of_output_that_was_cut_and_given_up_all_is_missing(tmp_path: Path) -> None:
    output = CapturedOutput(str(tmp_path / "stdout"), 100)
    os.write(output.writer, b"x" * 300)
    os.close(output.writer)
    while output.collect() is not None:
        pass
    output.finish()
    assert (output.dropped, output.cut_at) == (200, 50)
    assert output.size == (tmp_path / "stdout").stat().st_size
    output.forget()
    assert (output.size, output.dropped, output.cut_at) == (0, 300, None)
    assert (tmp_path / "stdout").read_bytes() == b""
    os.close(output.reader)
