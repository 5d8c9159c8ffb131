"""What a shell, and what it runs, makes of the words of a command.

Quoting makes a reference one word, whatever is in it. That is not enough where a word is read
as shell text again, or may be taken for the option after which one is. What is not known to
be harmless is refused. Of a list of arguments no shell reads anything, but one may be started.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_READ_AGAIN = frozenset({"eval", "let", "trap", "alias", "declare", "typeset"})
# bash reads what they take for a variable's name, or for a callback, as shell text.
_TAKE_NAMES = frozenset({"read", "mapfile", "readarray", "compgen"})
_TESTS = frozenset({"test", "["})
_SHELLS = frozenset(
    {"sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "yash", "fish", "csh", "tcsh"}
    | {"busybox"}
)
# Their options may follow other words.
_SWITCHING = frozenset({"su", "runuser"})
_SHELL_OPTIONS_WITH_A_WORD = re.compile(r"[-+][A-Za-z]*[oO][A-Za-z]*|--rcfile|--init-file")
_PRINTF_OPTIONS_WITH_A_WORD = re.compile("-v")
_OPTION_S = re.compile(r"-[A-Za-z]*s[A-Za-z]*")
_INPUT = frozenset({"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_OPTION_C = re.compile(r"-[A-Za-z]*c[A-Za-z]*")
# Their values are expanded like text in double quotes, some day.
_EXPANDED_VARIABLE = re.compile(r"(?:BASH_ENV|ENV|PS[0-4]|PROMPT_COMMAND)\+?=")
_BEFORE_A_PROGRAM = re.compile(
    r"[A-Za-z_][A-Za-z0-9_]*\+?=[\s\S]*|if|then|elif|else|while|until|do|!|\{|time|command|builtin"
    r"|exec|env|nohup|nice|sudo|doas"
)
_DESCRIPTOR = re.compile(r"[0-9]+|\{[A-Za-z_][A-Za-z0-9_]*\}")
_SUBSCRIPTED = re.compile(r"[A-Za-z0-9_+]")
_UNKNOWN = "\0"
"""Stands in a word for what only the running shell knows."""


class Unquotable(ValueError):
    """A reference that stands where quoting would not hold; one line."""


@dataclass(slots=True)
class _Word:
    """A word as it is read: its raw text, and what it is when its quotes are gone."""

    raw: str = ""
    text: str = ""
    is_reference: bool = False
    has_bracket: bool = False
    has_brace: bool = False


@dataclass(slots=True)
class _Command:
    """A simple command so far. `target`: the next word is that of a redirection."""

    words: list[_Word] = field(default_factory=list)
    word: _Word = field(default_factory=_Word)
    expands_braces: bool = False
    target: str = ""


class Words:
    """The words of a command, token by token; what stands in parentheses apart."""

    def __init__(self) -> None:
        self._command = _Command()
        self._outer: list[_Command] = []

    def take(self, kind: str, text: str) -> None:
        """The next token.

        Raises:
            Unquotable: a reference stands where quoting would not hold.
        """
        match kind:
            case "blank" if text != "\n":
                self._end_word()
            case "blank" | "end":
                self._end_command()
            case "redirection":
                self._redirect(text)
            case "group":
                self._group(text)
            case _:
                self._add(kind, text)

    def finish(self) -> None:
        """No more comes."""
        self._end_command()

    def _add(self, kind: str, text: str) -> None:
        word = self._command.word
        if kind == "bracket" and _SUBSCRIPTED.match(word.raw[-1:]):
            raise Unquotable("a subscript cannot stand beside references")
        word.raw += text
        word.text += _unquoted(kind, text)
        word.is_reference |= kind == "reference"
        word.has_bracket |= kind in ("bracket", "inner")
        word.has_brace |= kind == "text" and "{" in text
        if word.has_bracket and word.is_reference:
            raise Unquotable("a reference cannot stand in one word with [ ]")

    def _redirect(self, text: str) -> None:
        if _DESCRIPTOR.fullmatch(self._command.word.raw):
            # `2` in `2>&1` is no word of the command.
            self._command.word = _Word()
        self._end_word()
        self._command.target = text

    def _group(self, text: str) -> None:
        if text == "(":
            if not self._command.word.raw.endswith("$"):
                self._end_word()
            self._outer.append(self._command)
            self._command = _Command()
        elif self._outer:
            self._end_command()
            self._command = self._outer.pop()
        else:
            # Of a pattern of `case`.
            self._end_command()

    def _end_command(self) -> None:
        self._end_word()
        _check_whole(self._command.words)
        self._command = _Command()

    def _end_word(self) -> None:
        command = self._command
        word, command.word = command.word, _Word()
        if not word.raw:
            return
        target, command.target = command.target, ""
        if target:
            if word.is_reference and target.endswith("&"):
                # bash takes a word that is no number for a file, and expands it a second time.
                raise Unquotable("a reference cannot stand after >& or <&")
            return
        if word.has_bracket and word.raw not in ("[", "[["):
            # It stands for the names of files.
            word.text += _UNKNOWN
        # The shell makes several words of `{a,b}` and `{1..3}`.
        command.expands_braces |= word.has_brace and ("," in word.raw or ".." in word.raw)
        if word.text == "[[":
            raise Unquotable("[[ ]] cannot stand beside references: use [ ]")
        if word.text == "case" and self._outer:
            raise Unquotable("case in ( ) cannot stand beside references")
        if word.text in _READ_AGAIN:
            raise Unquotable(
                f"{word.text} reads its words as shell text again: quoting would not hold"
            )
        if word.is_reference:
            _check(command, word)
        command.words.append(word)


def check_arguments(arguments: Sequence[tuple[str, bool]]) -> None:
    """What programs make of the arguments of a command that no shell reads.

    Args:
        arguments: each with whether it holds a reference.

    Raises:
        Unquotable: a reference stands where it would be more than text.
    """
    words: list[_Word] = []
    for text, is_reference in arguments:
        word = _Word(text, text, is_reference)
        if is_reference:
            _check_programs(words, word)
        words.append(word)
    _check_whole(words)


def _check(command: _Command, word: _Word) -> None:
    """Whether what stands before it makes more of a reference than a word.

    Raises:
        Unquotable: it does.
    """
    if command.expands_braces:
        raise Unquotable("{ , } and { .. } cannot stand beside references")
    _check_programs(command.words, word)
    for place, earlier in enumerate(command.words):
        name, left = earlier.text, _texts(command.words[place + 1 :])
        if name in _TAKE_NAMES:
            raise Unquotable(f"{name} makes more of its words than text: quoting would not hold")
        if name in _TESTS:
            _check_test(name, command.words[-1])
        ends_options = "--" in left or _has_operand(left, _PRINTF_OPTIONS_WITH_A_WORD)
        if name == "printf" and not ends_options:
            raise Unquotable("printf may read a reference as its -v here: write printf -- first")


def _check_programs(words: Sequence[_Word], word: _Word) -> None:
    """What programs make of the word, whoever starts them."""
    if _EXPANDED_VARIABLE.match(word.text):
        name = word.text.partition("=")[0].rstrip("+")
        raise Unquotable(f"shells expand {name}: a reference cannot be its value")
    program = _program(words)
    if program is not None and program.is_reference:
        raise Unquotable("a reference cannot stand after one that is the program itself")
    for place, earlier in enumerate(words):
        name, left = earlier.text.rpartition("/")[2], _texts(words[place + 1 :])
        if name in _SWITCHING:
            raise Unquotable(f"{name} makes more of its words than text: quoting would not hold")
        runs_something = _has_operand(left, _SHELL_OPTIONS_WITH_A_WORD)
        if name in _SHELLS and not runs_something:
            raise Unquotable(
                f"{name} may read a reference as its option or as shell text here: give it "
                "the name of a script, or -c and a fixed text, first"
            )
        if _UNKNOWN in name and any(map(_OPTION_C.fullmatch, left)) and not runs_something:
            raise Unquotable("a reference cannot stand after -c of an unknown command")


def _texts(words: Sequence[_Word]) -> list[str]:
    return [word.text for word in words]


def _check_whole(words: Sequence[_Word]) -> None:
    """Whether it is a shell that runs what is piped into it.

    Raises:
        Unquotable: it is.
    """
    for place, word in enumerate(words):
        text, left = word.text, _texts(words[place + 1 :])
        name = text.rpartition("/")[2]
        if name not in _SHELLS and text not in (".", "source"):
            continue
        if not _INPUT.isdisjoint(left) or not _has_operand(left, _SHELL_OPTIONS_WITH_A_WORD):
            raise Unquotable(
                f"{text} with nothing to run reads it from its input, where references may have "
                "got to: give it a script, or -c and a fixed text"
            )


def _program(words: Sequence[_Word]) -> _Word | None:
    """What is run: the first word that is no assignment and nothing that runs the rest."""
    return next((word for word in words if not _BEFORE_A_PROGRAM.fullmatch(word.text)), None)


def _check_test(name: str, former: _Word) -> None:
    if former.text == "-v" or former.is_reference or _UNKNOWN in former.text:
        raise Unquotable(
            f"{name} -v reads a word as shell text: a reference cannot stand after -v, after "
            "another one, nor after what is not known"
        )


def _has_operand(words: Sequence[str], options_with_a_word: re.Pattern[str]) -> bool:
    """Whether the options are over: what follows is taken as it is."""
    left = iter(words)
    for word in left:
        if word in ("-", "--"):
            return _UNKNOWN not in next(left, _UNKNOWN)
        if _OPTION_S.fullmatch(word):
            # A shell that reads its input, whatever it is given besides.
            return False
        if word[:1] in ("-", "+"):
            if options_with_a_word.fullmatch(word):
                next(left, None)
        elif _UNKNOWN not in word:
            return True
    return False


def _unquoted(kind: str, text: str) -> str:
    """What a part of a word is when its quotes are gone."""
    match kind:
        case "escape":
            return text[1:]
        case "expansion":
            return _UNKNOWN
        case "text" if text in ("*", "?"):
            return _UNKNOWN
        case "quoted" if text[0] == "'":
            return text[1:-1]
        case "quoted":
            plain = re.sub(r"\\[\s\S]", "", text)
            known = re.sub(r'\\([\\"$`])', r"\1", text[1:-1])
            return known + (_UNKNOWN if "$" in plain else "")
        case _:
            return text
