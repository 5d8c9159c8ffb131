"""What commands wrote, per node.

For people each line is indented under its node's name, so that no node can forge another's
heading; for programs it is text where it is UTF-8, else base64.
"""

import base64

from pushcli.escape import decode, escape_line

Outputs = dict[str, bytes]
"""By channel: `stdout`, `stderr`."""


def block(node: str, words: str, outputs: Outputs) -> list[str]:
    """A node's output under its name and what to say of it (`words`, safe already).

    The error output has a heading of its own.
    """
    name = escape_line(node)
    if not outputs:
        return [f"{name} ({words}): its output did not arrive"]
    shown = {channel: _indented(output) for channel, output in outputs.items() if output}
    if not shown:
        return [f"{name} ({words}): no output"]
    lines = [f"{name} ({words})"]
    for channel, content in shown.items():
        lines += content if channel == "stdout" else [f"{name} {channel}", *content]
    return lines


def _indented(output: bytes) -> list[str]:
    text = decode(output).removesuffix("\n")
    return [f"  {line}" if line else "" for line in text.split("\n")]


def as_data(outputs: Outputs) -> dict[str, str]:
    """For JSON and YAML: `stdout`, or `stdout_base64` where it is no text."""
    return dict(_datum(channel, output) for channel, output in outputs.items())


def _datum(channel: str, output: bytes) -> tuple[str, str]:
    try:
        return channel, output.decode("utf-8")
    except UnicodeDecodeError:
        return f"{channel}_base64", base64.b64encode(output).decode()
