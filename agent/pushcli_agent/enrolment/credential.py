"""What lets a node enroll: a token from one of three places, or the validator's key."""

from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from pushcli.errors import KeyFileError, UsageError
from pushcli_agent.enrolment.register import Token, Validator

VARIABLE = "PUSHCLI_ENROLL_TOKEN"
MAX_TOKEN = 1_000


def credential(
    *,
    token: str | None,
    token_file: Path | None,
    validator_key: Path | None,
    validator_name: str | None,
    env: Mapping[str, str],
    stdin: TextIO | None,
) -> Token | Validator:
    """The one that was given; what stands on the command line wins over the environment.

    Raises:
        UsageError: none, several, or an invalid token.
        KeyFileError: the file with the token cannot be read.
    """
    given = [what for what in (token, token_file, validator_key) if what is not None]
    if len(given) > 1:
        raise UsageError(
            "--token, --token-file and --validator cannot be combined", "give one of them"
        )
    if validator_key is not None:
        return Validator(key=validator_key, name=validator_name)
    if validator_name is not None:
        raise UsageError("--validator-name needs --validator", "give both, or neither")
    text = token if token_file is None else _read(token_file, stdin)
    text = env.get(VARIABLE) if text is None else text
    if text is None:
        raise UsageError(
            "no enrolment credential given",
            f"give a token (--token-file, or {VARIABLE}), or --validator",
        )
    return Token(_checked(text.strip()))


def _checked(text: str) -> str:
    # It is a secret: no error shows it.
    if not text or len(text) > MAX_TOKEN or not text.isascii() or not text.isprintable():
        raise UsageError("invalid token", "see `pushcli node token create`")
    if " " in text:
        raise UsageError("invalid token: it contains a space", "give the token alone")
    return text


def _read(file: Path, stdin: TextIO | None) -> str:
    if str(file) == "-":
        return "" if stdin is None else stdin.read(MAX_TOKEN + 1)
    try:
        with file.open(encoding="ascii") as stream:
            return stream.read(MAX_TOKEN + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise KeyFileError(
            f"cannot read the token file {file}: {reason}", "check the path"
        ) from error
