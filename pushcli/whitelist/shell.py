r"""A shell's command with references (`\0` to `\9`) as a script with parameters.

The groups are passed as arguments of `sh -c SCRIPT sh GROUP...`, so that no text of a request
is ever part of a script. A reference becomes `"${N}"` where nothing is quoted, and `${N}` in
double quotes and here-documents: always one word, or a part of one. Where it stands is found by
a strict reader of quotes: what dash and bash might not agree about is refused.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from pushcli.whitelist.shell_commands import REFERENCE, UNKNOWN, UNQUOTED, Command, Misplaced

_MAX_DEPTH = 20
_REFERENCE = re.compile(r"\\([0-9])")
_OPERAND = "[A-Za-z0-9_./:=%@,*?+-]"
_EXPANSION = rf"""
      (?P<parameter>\\[0-9]
        | \$(?:[A-Za-z_][A-Za-z0-9_]*|[0?!$-])
        | \$\{{(?:[A-Za-z_][A-Za-z0-9_]*|0)
            (?: :?[-+](?:{_OPERAND}|\\[0-9])* | (?::?[=?]|%%?|\#\#?){_OPERAND}*)?\}})
    | (?P<substitution>\$\((?!\())
"""
_BARE = re.compile(
    rf"""
      {_EXPANSION}
    | (?P<blank>[ \t]+|(?<=[ \t])\\\n)
    | (?P<escape>\\[^\n])
    | (?P<literal>'[^']*')
    | (?P<quote>")
    | (?P<document><<(?P<tabs>-)?[ \t]*(?P<mark>['"]?)(?P<name>[A-Za-z0-9_]+)(?P=mark)[ \t]*\n
        (?P<body>(?:[^\n]*\n)*?)(?(tabs)\t*)(?P=name)(?=\n|\Z))
    | (?P<redirection>>&|<&|>>|>\||<>|[<>](?![<(]))
    | (?P<open>(?<![^\s;&|()])\((?!\(|\s*\)))
    | (?P<close>\))
    | (?P<end>[;|\n]|&(?!>))
    | (?P<text>(?<=[A-Za-z0-9_+])\[(?:\[:[a-z]+:\]|[A-Za-z0-9_.,!^-])+\](?!\+?=)
        | (?<![A-Za-z0-9_+])\[ | (?<=[A-Za-z0-9_./:=%@-])\#
        | [A-Za-z0-9_./:=%@,+-]+ | [^'"\\$`\#\[&<>()])
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(
    rf'{_EXPANSION} | (?P<escape>\\(?:[\\"$`]|\n)) | (?P<plain>[^"\\$`]+|\\[^0-9]) | (?P<quote>")',
    re.VERBOSE,
)
_DOCUMENT = re.compile(rf"{_EXPANSION} | (?P<plain>[^\\$`]+|\\[^0-9\n])", re.VERBOSE)
_IN_SINGLE_QUOTES = (
    r'single quotes, where no shell expands it: use double quotes ("\1"), or write \\1 in them if '
    "no group is meant"
)
_IN_CODE = (
    "the code of another shell: pass it as an argument: "
    r"""sh -c 'echo "$1"' sh \1"""
)
_DESCRIPTOR = re.compile(r"[0-9]+|\{[A-Za-z_][A-Za-z0-9_]*\}")
_UNREADABLE = {
    "'": "a quote without an end",
    '"': 'double quotes in "$( )" cannot stand beside references',
    "`": "a backtick cannot stand beside references: use $( )",
    "\\": "a backslash at the end of a word, line or command cannot stand beside references",
    "$": r"only $NAME, ${NAME} and $( ) can stand beside references: for a group write \1, not $1; "
    r"for a dollar sign \$",
    "#": "a comment cannot stand beside references: leave it out",
    "[": "a subscript cannot stand beside references",
    "(": "a function, (( or a ( in a word cannot stand beside references: call a script instead",
    "<": "of << and <( only a here-document that is the last on its line can stand beside "
    "references, outside ( ): write <<EOF",
    ">": ">( ) cannot stand beside references",
    "&": "&> cannot stand beside references: use > and 2>&1",
    "": "a quote or a ( without an end",
}


def has_references(text: str) -> bool:
    """Whether anything in it looks like a reference."""
    return _REFERENCE.search(text) is not None


def no_group(number: int) -> Misplaced:
    """What is wrong where there is no group of this number."""
    return Misplaced(rf"\{number} refers to a group that the expression does not have")


def invocation(text: str, groups: Sequence[str]) -> tuple[str, ...]:
    r"""The program and its arguments that run this text with these groups (`\0` first).

    Raises:
        Misplaced: a reference stands where no parameter would be what it means.
    """
    last = min(len(groups) - 1, max(map(int, _REFERENCE.findall(text))))
    whole = groups[:1] if r"\0" in text else []
    script = _script(text, len(groups) - 1, last + 1)
    return ("/bin/sh", "-c", script, "sh", *groups[1 : last + 1], *whole)


@lru_cache(128)
def _script(text: str, groups: int, whole: int) -> str:
    r"""The text with parameters: `${N}` for `\N`; the number of `\0` is `whole`."""
    reader = _Reader(text, groups, whole)
    reader.read_commands()
    return reader.script


class _Reader:
    """Reads a text, and writes it anew with parameters."""

    def __init__(self, text: str, groups: int, whole: int) -> None:
        self.script = ""
        self._text = text
        self._place = 0
        self._groups = groups
        self._whole = whole
        self._in_quotes = False

    def read_commands(self, depth: int = 0) -> None:
        """Read simple commands, up to the `)` that ends them or to the end of the text."""
        if depth > _MAX_DEPTH:
            raise Misplaced(f"( ) within ( ) more than {_MAX_DEPTH} times")
        command = Command(is_nested=depth > 0)
        word = self._place
        while depth or self._place < len(self._text):
            if not command.in_word:
                word = self._place
            found = self._next(_BARE)
            match kind := found.lastgroup:
                case "blank":
                    command.end_word()
                case "close" if not depth:
                    command.end(is_pattern=True)
                case "end" | "close":
                    command.end()
                    if kind == "close":
                        return
                case "open":
                    command.end()
                    self.read_commands(depth + 1)
                case "redirection":
                    before = self._text[word : found.start()]
                    command.redirect(found[0], of_descriptor=bool(_DESCRIPTOR.fullmatch(before)))
                case "quote" if not self._in_quotes:
                    self._read_quoted(_QUOTED, command, depth)
                case "document" if not depth:
                    self._read_document(found)
                case "quote" | "document":
                    raise Misplaced(_UNREADABLE[found[0][0]])
                case _:
                    self._read_part(found, command, depth, UNQUOTED)
        command.end()

    def _next(self, expression: re.Pattern[str]) -> re.Match[str]:
        found = expression.match(self._text, self._place)
        if found is None:
            raise Misplaced(_UNREADABLE[self._text[self._place : self._place + 1]])
        self._place = found.end()
        if found.lastgroup == "parameter":
            form = '"${%d}"' if expression is _BARE else "${%d}"
            self.script += _REFERENCE.sub(lambda one: form % self._number(one), found[0])
        elif found.lastgroup != "document":
            self.script += found[0]
        return found

    def _number(self, reference: re.Match[str]) -> int:
        number = int(reference[1])
        if number > self._groups:
            raise no_group(number)
        return number or self._whole

    def _read_part(self, found: re.Match[str], command: Command, depth: int, unknown: str) -> None:
        """Take a part of a word into a command; `unknown` stands for what is not known."""
        token = found[0]
        match found.lastgroup:
            case "text":
                command.add_bare(token)
            case "escape":
                command.add(token[1:].replace("\n", ""))
            case "literal":
                _refuse_references(token, _IN_CODE if command.reads_code else _IN_SINGLE_QUOTES)
                command.add(token[1:-1])
            case "parameter" if token in ("$?", "$$"):
                command.add(UNKNOWN)
            case "parameter":
                command.add(REFERENCE if has_references(token) else unknown)
            case "substitution":
                self.read_commands(depth + 1)
                command.add(unknown)
            case _:
                command.add(token)

    def _read_quoted(self, expression: re.Pattern[str], command: Command, depth: int) -> None:
        """Read what stands in double quotes, or is a here-document, up to its end."""
        self._in_quotes = True
        command.add("")
        while expression is _QUOTED or self._place < len(self._text):
            found = self._next(expression)
            if found.lastgroup == "quote":
                break
            self._read_part(found, command, depth, UNKNOWN)
        self._in_quotes = False

    def _read_document(self, found: re.Match[str]) -> None:
        body, (start, end) = found["body"], found.span("body")
        if found["mark"]:
            _refuse_references(body, "a here-document whose name is quoted: write <<EOF")
        else:
            reader = _Reader(body, self._groups, self._whole)
            reader._read_quoted(_DOCUMENT, Command(is_nested=True), 0)
            body = reader.script
        self.script += self._text[found.start() : start] + body + self._text[end : found.end()]


def _refuse_references(text: str, where: str) -> None:
    if found := _REFERENCE.search(text):
        raise Misplaced(f"{found[0]} stands in {where}")
