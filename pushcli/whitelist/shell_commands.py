"""What shells, and programs that are shells, read in the words of a command.

A parameter is one word, whatever is in it. That is not enough where a word is read again as
code, or may be taken for the option after which one is: what is not known to be harmless is
refused. What other programs do with their arguments is the business of who writes the command.
"""

import re
from collections.abc import Iterable

# No text that can be encoded has these.
REFERENCE = "\udc00"
"""Stands in a word for a group."""
UNKNOWN = "\udc01"
"""Stands in a word for what else only the running shell knows."""
UNQUOTED = "\udc03"
"""The same, where it may be several words or none."""
BRACE = "\udc02"
"""Stands in a word for a `{` that is not quoted."""

_UNKNOWN = f"[{UNKNOWN}{UNQUOTED}]"
_DYNAMIC = REFERENCE + UNKNOWN + UNQUOTED
_ANY = f"[{_DYNAMIC}]"
_WORD = r"[^\0]*\0"
_KNOWN = rf"[^\0{_DYNAMIC}]*\0"
_START = r"(?<![^\0])"
_FIRST = rf"\A(?>.*?{_START}"
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
# A script, or a fixed text after -c; options first, of which none says that the input is read.
_TO_RUN = rf"""
    (?>(?!-[A-Za-z]*s[A-Za-z]*\0|--?\0)
        (?:(?:[-+][A-Za-z]*[oO][A-Za-z]*|--rcfile|--init-file)\0{_KNOWN}|[-+]{_KNOWN}))*+
    (?:--?\0|(?![-+])){_KNOWN}"""
_SHELL = r"(?:[^\0]*/)?(?:(?:ba|rba|da|a|k|mk|z|ya|fi|c|tc)?sh|busybox)\0"
# The word after `sh -c TEXT` is what the shell calls itself.
_NAMED_SHELL = rf"({_START}{_SHELL}-[eux]*c\0(?!-){_KNOWN})[a-z]*sh\0"
_INPUT = rf"(?:{_WORD})*(?:/dev/(?:stdin|fd/[0-9]+)|/proc/self/fd/[0-9]+)\0"
_BEFORE_A_PROGRAM = rf"""{_NAME}\+?=[^\0]*|if|then|elif|else|while|until|do|!|{BRACE}|time
    |command|builtin|exec|env|nohup|nice|sudo|doas|coproc"""
_PROGRAM = rf"\A(?:(?:{_BEFORE_A_PROGRAM})\0)*+"
_BUILTIN = rf"\A(?:(?:{_BEFORE_A_PROGRAM}|-p|--)\0)*+"

# What is searched for in the words of a command, of which every one ends with NUL, and a reason.
_PROGRAMS = [
    (rf"{_START}{_SHELL}(?!{_TO_RUN})|{_FIRST}{_SHELL}){_INPUT}",
     "a shell may read a reference as its option or as code here: give it a script, or -c and a "
     r"""fixed text, first: sh -c 'echo "$1"' sh \1"""),
    (rf"{_START}[^\0]*{_UNKNOWN}[^\0]*\0(?!{_TO_RUN})(?:{_WORD})*?-[A-Za-z]*c[A-Za-z]*\0.*{REFERENCE}",
     "a reference cannot stand after -c of an unknown command"),
    (rf"{_PROGRAM}(?:[^\0]*{REFERENCE}[^\0]*\0.*{_ANY}|[^\0]*{_UNKNOWN}[^\0/]*\0)",
     "the program must be fixed beside references, or one of them without another after it"),
    (rf"{_START}(?:[^\0]*/)?(?:su|runuser)\0.*{REFERENCE}",
     "su and runuser may read a reference as their option or as code"),
    (rf"{_START}(?:BASH_ENV|ENV|PS[0-4]|PROMPT_COMMAND)\+?=[^\0]*{_ANY}",
     "shells expand BASH_ENV, ENV, PS0 to PS4 and PROMPT_COMMAND: their values must be fixed "
     "beside references"),
]  # fmt: skip
_BUILTINS = [
    (rf"{_START}(?:eval|let|trap|alias|declare|typeset|\[\[)\0|{_BUILTIN}(?:enable|fc)\0",
     "eval, let, trap, alias, declare, typeset, enable, fc and [[ read words as code: none of "
     "them can stand beside references"),
    (rf"{_FIRST}(?:read|mapfile|readarray|compgen|unset)\0).*(?:{_ANY}|\[)|{_BUILTIN}jobs\0.*{_ANY}"
     rf"|{_BUILTIN}(?:export|readonly)\0(?:{_WORD})*?(?!{_NAME}\+?=)[^\0]*(?:{_ANY}|\[)",
     "read, mapfile, compgen, unset, jobs, export and readonly make more of their words than "
     "text: options and names must be fixed beside references"),
    (rf"{_START}(?:RANDOM|SRANDOM|OPTIND|HISTCMD)(?:\0|\+?=)",
     "what is assigned to RANDOM, SRANDOM, OPTIND and HISTCMD is read as code: none of them can "
     "stand beside references"),
    (rf"{_FIRST}(?:test|\[)\0)(?:{_WORD})*?"
     rf"(?:(?:-v|[^\0{_DYNAMIC}]*{_ANY}[^\0]*)\0[^\0]*{_ANY}|[^\0]*{UNQUOTED})",
     "test and [ may read a word as code here: put $NAME and $( ) in double quotes, and no "
     "reference after -v or after another word that is not fixed"),
    (rf"{_START}printf\0(?!(?:-v\0{_NAME}\0)?(?:--\0|[^\0{_DYNAMIC}\[-])).*{_ANY}"
     rf"|{_BUILTIN}wait\0(?!--\0).*{_ANY}",
     "printf and wait may read a reference as an option here: write -- first"),
    (rf"{_BUILTIN}(?:\.|source)\0(?:(?!{_TO_RUN})|{_INPUT})",
     "source and . need a fixed script beside references"),
    (rf"{_BUILTIN}(?:shift\0|getopts\0|set\0(?!(?:[-+][A-Za-z]*o\0[a-z]+\0|[-+][A-Za-np-z]+\0)*+\Z))"
     rf"|{_BUILTIN}(?:function\0|(?:for|select)\0{_WORD}(?!in\0))",
     "references are parameters: a function, shift, getopts, set with more than options and for "
     "without in cannot stand beside them"),
    (rf"{_START}[^\0{BRACE}]*{BRACE}[^\0]*(?:,|\.\.)",
     "{ , } and { .. } cannot stand beside references"),
]  # fmt: skip

_UNQUOTED_TEXT = str.maketrans({"{": BRACE, "*": UNKNOWN, "?": UNKNOWN})


class Misplaced(ValueError):
    """A reference that stands where it would not be one word of text; one line."""


class Command:
    """A simple command as it is read, word by word.

    Its methods raise Misplaced where it would read a reference as more than text.
    """

    def __init__(self, *, is_nested: bool) -> None:
        self._is_nested = is_nested
        self._words = ""
        self._word: str | None = None
        self._has_bracket = False
        self._redirection = ""

    @property
    def in_word(self) -> bool:
        """Whether a word has begun."""
        return self._word is not None

    @property
    def reads_code(self) -> bool:
        """Whether the word comes right after `-c`."""
        return self._words.endswith("-c\0")

    def add(self, text: str) -> None:
        """Add to the word what is there when quotes are gone, or a sign for it."""
        self._word = (self._word or "") + text

    def add_bare(self, text: str) -> None:
        """Add to the word what was not quoted."""
        self._has_bracket |= "[" in text
        self.add(text.translate(_UNQUOTED_TEXT))

    def redirect(self, operator: str, *, of_descriptor: bool) -> None:
        """Have the next word be a redirection's; `2` in `2>&1` is no word of the command."""
        if of_descriptor:
            self._word = None
        self.end_word()
        self._redirection = operator

    def end_word(self) -> None:
        """End the word, if one has begun."""
        word, self._word = self._word, None
        has_bracket, self._has_bracket = self._has_bracket, False
        if word is None:
            return
        redirection, self._redirection = self._redirection, ""
        if has_bracket and REFERENCE in word:
            raise Misplaced("a reference cannot stand in one word with [ ]")
        if redirection:
            if redirection.endswith("&") and re.search(_ANY, word):
                # bash takes a word that is no number for a file, and expands it a second time.
                raise Misplaced("what is not fixed cannot stand after >& or <& beside references")
            return
        if word == "case" and self._is_nested:
            raise Misplaced("case in ( ) cannot stand beside references")
        # A word with brackets stands for the names of files.
        self._words += word + (UNKNOWN if has_bracket and word not in ("[", "[[") else "") + "\0"

    def end(self, *, is_pattern: bool = False) -> None:
        """End the command; a pattern of `case` is none, and may be unknown."""
        self.end_word()
        if is_pattern:
            self._words = f"in\0{self._words}"
        _check(self._words, _PROGRAMS + _BUILTINS)
        self._words = self._redirection = ""


def check_arguments(arguments: Iterable[str]) -> None:
    """Refuse references that programs read as more than text, in arguments that no shell reads.

    Raises:
        Misplaced: they do.
    """
    words = "".join(f"{argument}\0" for argument in arguments)
    if REFERENCE in words:
        _check(words, _PROGRAMS)


def _check(words: str, rules: list[tuple[str, str]]) -> None:
    words = re.sub(_NAMED_SHELL, r"\1\0", words)
    # What is unknown may be nothing.
    known = re.sub(rf"{_START}{_UNKNOWN}+\0|{_UNKNOWN}", "", words)
    for rule, reason in rules:
        if any(re.search(rule, text, re.VERBOSE | re.DOTALL) for text in (words, known)):
            raise Misplaced(reason)
