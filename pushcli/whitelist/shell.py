r"""Shell commands with references (`\0` to `\9`), and text put in their places, quoted.

Text in single quotes is literal only where the shell begins a quotation at that quote. So a
command with references is read here as a shell would read it, strictly: what this reader
does not know for sure is refused, in favour of what dash and bash agree about.
"""

import re
from collections.abc import Iterator, Sequence

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
    | (?P<duplicate>[<>]&)
    | (?P<end>[;&|()<>])
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
}
_UNKNOWN = {
    "'": "a quote without an end",
    "`": "a backtick cannot stand beside references: use $( )",
    "\\": "a backslash at the end of a word or of the command cannot stand beside references",
    "$": "a $ that is no plain $NAME, ${NAME} or $( ) cannot stand beside references",
    "#": "a comment cannot stand beside references",
    "[": "a subscript cannot stand beside references",
}
_READ_AGAIN = frozenset({"eval", "let", "trap", "alias", "declare", "typeset"})
# bash reads what they take for a variable's name, or for a callback, as shell text.
_TAKE_NAMES = frozenset({"read", "mapfile", "readarray", "compgen"})
_TAKE_NAMES_BY_V = frozenset({"printf", "test", "["})
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"})
# Their options may follow other words.
_SWITCHING = frozenset({"su", "runuser"})
_OPTIONS_WITH_A_WORD = frozenset({"--rcfile", "--init-file"})
_SUBSCRIPTED = re.compile(r"[A-Za-z0-9_+]")
_OPTION_C = re.compile(r"-[A-Za-z]*c[A-Za-z]*")
_UNKNOWN_TEXT = "\0"
"""Stands in a word for what only the running shell knows."""


class Unquotable(ValueError):
    """A reference that stands where quoting would not hold; one line."""


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
    words = _Words()
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


class _Words:
    """The words of a command as far as they decide what a reference in them means."""

    def __init__(self) -> None:
        self._words: list[str] = []
        """Of this simple command, as the shell has them when their quotes are gone."""
        self._word = self._text = ""
        self._brackets = self._reference = self._duplicates = False
        self._has_brace = self._braces = self._former_reference = False

    def take(self, kind: str, text: str) -> None:
        if kind in ("blank", "end"):
            self._end_word()
            if kind == "end" or text == "\n":
                self._end_command()
            return
        if kind == "duplicate":
            self._end_word()
            self._duplicates = True
            return
        if kind == "bracket" and _SUBSCRIPTED.match(self._word[-1:]):
            raise Unquotable(_UNKNOWN["["])
        self._brackets |= kind in ("bracket", "inner")
        self._reference |= kind == "reference"
        self._has_brace |= kind == "text" and "{" in text
        self._word += text
        self._text += _unquoted(kind, text)
        if self._brackets and self._reference:
            raise Unquotable("a reference cannot stand in one word with [ ]")

    def finish(self) -> None:
        """No more comes."""
        self._end_word()

    def _end_command(self) -> None:
        self._words.clear()
        self._braces = self._former_reference = False

    def _end_word(self) -> None:
        raw, self._word = self._word, ""
        word, self._text = self._text, ""
        reference, self._reference = self._reference, False
        self._brackets = False
        # The shell makes several words of `{a,b}` and `{1..3}`, and one more for each.
        self._braces |= self._has_brace and ("," in raw or ".." in raw)
        self._has_brace = False
        if not raw:
            return
        duplicates, self._duplicates = self._duplicates, False
        if duplicates and reference:
            # bash takes a word that is no number for a file, and expands it a second time.
            raise Unquotable("a reference cannot stand after >& or <&")
        if word == "[[":
            raise Unquotable("[[ ]] cannot stand beside references: use [ ]")
        if word in _READ_AGAIN:
            raise Unquotable(f"{word} reads its words as shell text again: quoting would not hold")
        if reference:
            self._check_reference(word)
        self._words.append(word)
        self._former_reference = reference

    def _check_reference(self, word: str) -> None:
        """Whether what stands before it makes more of a reference than a word.

        Raises:
            Unquotable: it does.
        """
        if self._braces:
            raise Unquotable("{ } within a word cannot stand beside references")
        former = self._words[-1] if self._words else ""
        names = [earlier.rpartition("/")[2] for earlier in self._words]
        for name in names:
            if name in _TAKE_NAMES or name in _SWITCHING:
                raise Unquotable(
                    f"{name} makes more of its words than text: quoting would not hold"
                )
        by_v = next((name for name in names if name in _TAKE_NAMES_BY_V), None)
        if by_v is not None:
            misread = former == "-v" or word.startswith("-v") or former == "printf"
            if misread or (by_v != "printf" and self._former_reference):
                raise Unquotable(
                    f"{by_v} -v takes a word as shell text: a reference cannot be it, "
                    "nor stand where it could be the -v"
                )
        for place, name in enumerate(names):
            if name in _SHELLS and not _has_operand(self._words[place + 1 :]):
                raise Unquotable(
                    f"{name} may read a reference as its option or as shell text here: give it "
                    "the name of a script, or -c and a fixed text, first"
                )
        if _OPTION_C.fullmatch(former) and any(_UNKNOWN_TEXT in name for name in names):
            raise Unquotable(f"a reference cannot stand after {former} of an unknown command")


def _has_operand(words: Sequence[str]) -> bool:
    """Whether a shell with these words has what it runs: the rest are arguments of that."""
    left = iter(words)
    for word in left:
        if word in ("-", "--"):
            return next(left, None) is not None
        if word[:1] in ("-", "+"):
            takes_a_word = "o" in word.lower() if word[:2] != "--" else word in _OPTIONS_WITH_A_WORD
            if takes_a_word:
                next(left, None)
        elif _UNKNOWN_TEXT not in word:
            return True
    return False


def _unquoted(kind: str, text: str) -> str:
    """What a part of a word is when its quotes are gone."""
    match kind:
        case "escape":
            return text[1:]
        case "expansion":
            return _UNKNOWN_TEXT
        case "quoted" if text[0] == "'":
            return text[1:-1]
        case "quoted":
            plain = re.sub(r"\\[\s\S]", "", text)
            known = re.sub(r'\\([\\"$`])', r"\1", text[1:-1])
            return known + (_UNKNOWN_TEXT if "$" in plain else "")
        case _:
            return text
