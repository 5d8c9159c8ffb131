"""How the command ended, written durably."""

import os

from pushcli_agent.supervise.captured_output import CapturedOutput
from pushcli_agent.supervise.command import Command


def record(directory: str, command: Command, channels: "list[CapturedOutput]") -> None:
    """Write the result durably: it is there as a whole or not at all."""
    for channel in channels:
        channel.finish()
    try:
        write_result(directory, result_of(command, channels))
    except OSError:
        for channel in channels:
            channel.forget()
        write_result(directory, result_of(command, channels))


def result_of(command: Command, channels: "list[CapturedOutput]") -> "dict[str, object]":
    """The result's fields, numbers and truth values only (`protocol.run.Outcome`)."""
    code = None if command.status is None else os.waitstatus_to_exitcode(command.status)
    stdout, stderr = channels or (None, None)
    return {
        "exit_code": code if code is not None and code >= 0 else None,
        "signal": -code if code is not None and code < 0 else None,
        "timed_out": command.timed_out,
        "aborted": command.aborted,
        "lost": False,
        "started_at": command.started_at,
        "ended_at": command.ended_at,
        "capture": stdout is not None,
        "stdout_size": stdout.size if stdout else 0,
        "stderr_size": stderr.size if stderr else 0,
        "stdout_dropped": stdout.dropped if stdout else 0,
        "stderr_dropped": stderr.dropped if stderr else 0,
        "stdout_cut_at": stdout.cut_at if stdout else None,
        "stderr_cut_at": stderr.cut_at if stderr else None,
    }


def write_result(directory: str, result: "dict[str, object]") -> None:
    """The fields as JSON in a file that appears under its name once it is whole."""
    fields = ", ".join(f'"{key}": {literal(value)}' for key, value in result.items())
    # Written over the space that the agent reserved before it voted: the disk may be full now.
    descriptor = os.open(f"{directory}/result.tmp", os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        text = f"{{{fields}}}\n".encode()
        if os.pwrite(descriptor, text, 0) < len(text):
            raise OSError("the disk is full")
        os.ftruncate(descriptor, len(text))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(f"{directory}/result.tmp", f"{directory}/result.json")  # noqa: PTH104
    sync_directory(directory)


def literal(value: object) -> str:
    """A number, truth value or None as JSON has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def sync_directory(directory: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
