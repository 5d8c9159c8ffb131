r"""Shell commands with references (`\0` to `\9`), and text put in their places, quoted.

Text in single quotes is literal only where the shell begins a quotation at that quote. So a
command with references is read here as a shell would read it, strictly: what this reader
does not know for sure is refused, in favour of what dash and bash agree about.
"""

import re
from collections.abc import Iterator, Sequence

from pushcli.whitelist.shell_words import Unquotable, Words

Piece = str | int
"""Text as it is, or the number of a group."""

_PAIR = re.compile(r"\\[0-9]")
_ARGUMENT = re.compile(r"\\(?P<number>[0-9])|\\(?P<text>\\)|(?P<rest>[^\\]+|\\)")
_RAW = re.compile(r"\\(?P<number>[0-9])|(?P<text>\\.)|(?P<rest>[^\\]+|\\)", re.DOTALL)
# Nothing in braces that itself would have to be read as shell text.
# Atomic, like the loop below: what does not fit is found without going back.
_VARIABLE = (
    r"\$(?>[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-]"
    r"|\{[A-Za-z_][A-Za-z0-9_]*(?:(?::?[-+=?]|%%?|\#\#?)[A-Za-z0-9_./:@,=*?+-]*)?\})"
)
_SIMPLE_SUBSTITUTION = r"\$\((?![^)]*case)[^'\"\\`(){}\[\]#<\n]*\)"
_TOKEN = re.compile(
    rf"""
      (?P<reference>\\[0-9])
    | (?P<blank>[ \t]+|\n|(?<=[ \t])\\\n)
    | (?P<escape>\\[^\n])
    | (?P<quoted>'[^']*'|"(?:[^"\\$`]|\\[^0-9]|{_VARIABLE}|{_SIMPLE_SUBSTITUTION})*+")
    | (?P<expansion>{_VARIABLE}|\$(?=\((?!\()))
    | (?P<heredoc><<)
    | (?P<arithmetic>\(\()
    | (?P<array>(?<==)\()
    | (?P<both>&>)
    | (?P<process>[<>]\()
    | (?P<redirection>>&|<&|>>|>\||<>|[<>])
    | (?P<group>[()])
    | (?P<end>[;&|])
    | (?P<inner>(?<=[A-Za-z0-9_+])\[(?:\[:[a-z]+:\]|[A-Za-z0-9_.,!^-])+\])
    | (?P<hash>(?<=[A-Za-z0-9_./:=%@-])\#)
    | (?P<bracket>\[)
    | (?P<text>[A-Za-z0-9_./:=%@,+-]+|[^'"\\$`\#\[])
    """,
    re.VERBOSE | re.DOTALL,
)
_REFUSED = {
    "heredoc": "a here-document (<<) cannot stand beside references",
    "arithmetic": "(( cannot stand beside references",
    "array": "a list (=() cannot stand beside references",
    "both": "&> cannot stand beside references: use > and 2>&1",
    "process": "<( ) and >( ) cannot stand beside references",
}
_UNKNOWN = {
    "'": "a quote without an end",
    "`": "a backtick cannot stand beside references: use $( )",
    "\\": "a backslash at the end of a word or of the command cannot stand beside references",
    "$": "a $ that is no plain $NAME, ${NAME} or $( ) cannot stand beside references",
    "#": "a comment cannot stand beside references",
    "[": "a subscript cannot stand beside references",
}


def quote(text: str) -> str:
    """A word of the shell that stands for this text, whatever is in it (but NUL)."""
    return "'" + text.replace("'", r"'\''") + "'"


def has_references(text: str) -> bool:
    """Whether anything in it looks like a reference."""
    return _PAIR.search(text) is not None


def argument_pieces(text: str) -> tuple[Piece, ...]:
    r"""The pieces of an argument that no shell reads; `\\` stands for one backslash."""
    return _split(_ARGUMENT, text)


def raw_pieces(text: str) -> tuple[Piece, ...]:
    r"""The pieces of a shell's command, wherever references stand; `\\1` is none."""
    return _split(_RAW, text)


def _split(expression: re.Pattern[str], text: str) -> tuple[Piece, ...]:
    found = expression.finditer(text)
    return tuple(
        int(one["number"]) if one["number"] else one["text"] or one["rest"] for one in found
    )


def pieces(text: str) -> tuple[Piece, ...]:
    """The pieces of a shell's command.

    Raises:
        Unquotable: there is a reference, and something about which shells may differ or
            which is not read as a word.
    """
    if not has_references(text):
        return (text,)
    found: list[Piece] = []
    words = Words()
    for kind, token in _tokens(text):
        words.take(kind, token)
        found.append(int(token[1]) if kind == "reference" else token)
    words.finish()
    return tuple(found)


def render(parts: Sequence[Piece], groups: Sequence[str], *, quoted: bool) -> str:
    """The text with groups in the places of the references."""
    inserted = [quote(group) for group in groups] if quoted else groups
    return "".join(part if isinstance(part, str) else inserted[part] for part in parts)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise Unquotable(_why(text[place:]))
        kind = str(found.lastgroup)
        if kind in _REFUSED:
            raise Unquotable(_REFUSED[kind])
        if kind == "quoted" and found[0][0] == "'" and has_references(found[0]):
            raise Unquotable(_inside(found[0]))
        yield kind, found[0]
        place = found.end()


def _why(rest: str) -> str:
    if rest[0] != '"':
        return _UNKNOWN[rest[0]]
    whole = re.match(r'"(?:[^"\\]|\\.)*"', rest, re.DOTALL)
    if whole is None:
        return _UNKNOWN["'"]
    if has_references(whole[0]):
        return _inside(whole[0])
    return "more than plain $NAME, ${NAME} and $( ) in double quotes cannot stand beside references"


def _inside(quoted: str) -> str:
    reference = _PAIR.search(quoted)
    name = "a reference" if reference is None else reference[0]
    return f"{name} stands inside quotes: leave them out, it is quoted when it is replaced"
