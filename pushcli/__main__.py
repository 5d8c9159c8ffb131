"""The program: `pushcli`, or `python -m pushcli`.

Every error of every command becomes one line on standard error here, and an exit status.
Imports wait until the handlers stand: Ctrl-C shows no traceback from the first moment on.
"""
# ruff: noqa: PLC0415

import gc
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

DEBUG = "PUSHCLI_DEBUG"
COMPLETE = "_PUSHCLI_COMPLETE"
BROKEN_PIPE = 141
"""What a shell shows for a program that SIGPIPE ended: here the reader of our output left."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (default: `sys.argv`); returns the exit status."""
    status = 1
    try:
        try:
            status = _run(sys.argv[1:] if arguments is None else list(arguments))
            _flush()
        except Exception as error:
            status = _report(error)
            _flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return BROKEN_PIPE
    except Exception as error:
        if not _is_of_output(error):
            raise
        # It can take no more: that was said already, if it could be.
        _drop_output()
    finally:
        # All memory goes with the process: no searching it for garbage first.
        gc.freeze()
    return status


def _run(arguments: list[str]) -> int:
    from pushcli.terminal import standard_output

    standard_output.guard()
    if COMPLETE in os.environ:
        return _complete()
    from pushcli.cli import root
    from pushcli.errors import PushcliError
    from pushcli.terminal.context import App

    app = App()
    with root.make_context("pushcli", arguments, obj=app) as context:
        try:
            status = root.invoke(context)
        except PushcliError:
            app.remark_on_passing_over()
            raise
        app.remark_on_server()
    return int(status or 0)


def _complete() -> int:
    """Answer the shell's completion script; whatever fails, the operator's line stays clean."""
    from contextlib import suppress

    # It is over before there is garbage that matters.
    gc.disable()
    with suppress(Exception):
        from pushcli.cli import root
        from pushcli.completion.answer import answer

        sys.stdout.write(answer(root, os.environ[COMPLETE], sys.argv[1:], os.environ))
    return 0


def _report(error: Exception) -> int:
    """Say what went wrong in one line; returns the exit status."""
    if isinstance(error, BrokenPipeError):
        raise error
    from contextlib import suppress

    import click
    from click.exceptions import NoArgsIsHelpError

    from pushcli.exit_status import ExitStatus

    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.Abort):
        return ExitStatus.INTERRUPTED
    if isinstance(error, NoArgsIsHelpError):
        sys.stderr.write(error.format_message() + "\n")
        return ExitStatus.USAGE
    if os.environ.get(DEBUG):
        import traceback

        traceback.print_exception(error)
    line, status = explain(error)
    with suppress(OSError):
        sys.stderr.write(f"pushcli: error: {line}\n")
        sys.stderr.flush()
    return status


def explain(error: Exception) -> tuple[str, int]:
    """The cause and the remedy in one line, and the exit status."""
    import click

    from pushcli.errors import PushcliError
    from pushcli.escape import escape_line
    from pushcli.exit_status import ExitStatus, status_of
    from pushcli.terminal.text_arguments import is_text

    match error:
        case PushcliError():
            return escape_line(str(error)), status_of(error)
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "pushcli"
            sentence = _sentence(error)
            if "see `" in sentence.lower():
                return sentence, ExitStatus.USAGE
            # Near misses are asked: "did you mean ...?"
            joint = " See" if sentence.endswith(("?", "?)")) else ": see"
            return f"{sentence}{joint} `{command} --help`", ExitStatus.USAGE
        case click.ClickException():
            return _sentence(error), error.exit_code
        case UnicodeEncodeError() if not all(map(is_text, sys.argv)):
            return "an argument is not valid UTF-8: check the command line", ExitStatus.USAGE
        case OSError():
            where = f" ({error.filename})" if error.filename else ""
            what = escape_line(f"{error.strerror or error}{where}")
            return f"{what}: {DEBUG}=1 shows where", ExitStatus.ERROR
        case _:
            what = escape_line(f"unexpected {type(error).__name__}: {error}")
            return f"{what}: this is a fault of pushcli; {DEBUG}=1 shows where", ExitStatus.ERROR


def _sentence(error: "click.ClickException") -> str:
    from click.exceptions import NoSuchCommand, NoSuchOption

    from pushcli.escape import escape_line

    message = error.format_message()
    if isinstance(error, NoSuchCommand | NoSuchOption) and len(error.possibilities or ()) > 1:
        # click finds the nearest first, and then sorts them by their letters.
        near = ", ".join(map(repr, error.possibilities or ()))
        message = f"{error.message} (Did you mean one of: {near}?)"
    message = " ".join(message.split()).removesuffix(".")
    return escape_line(message[:1].lower() + message[1:])


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _is_of_output(error: Exception) -> bool:
    from pushcli.errors import OutputLost

    return isinstance(error, OSError | OutputLost)


def _drop_output() -> None:
    from pushcli.terminal import standard_output

    standard_output.drop()


if __name__ == "__main__":
    sys.exit(main())
