"""Values in a Ruby file: literals, and the few calls that settings files make."""

import posixpath
import re
from bisect import bisect
from collections.abc import Mapping

from pushcli.migration.ruby_code import IncompleteRuby
from pushcli.migration.ruby_values import Hash, Regexp, Symbol, Unread, Value, plain

MAX_DEPTH = 20
MAX_VALUES = 20_000
MAX_TEXT = 4 * 1024 * 1024
"""Characters of all strings together."""
_SHOWN = 60
_SPACE = re.compile(r"(?:[ \t\r]|\\\r?\n)*")
_SPACE_AND_LINES = re.compile(r"(?:\s|\\\n|#[^\n]*+)*+")
_OR = re.compile(r"[ \t]*\|\|[ \t]*\n?")
_GOES_ON = re.compile(r"(?:\s|#[^\n]*+)*+(?:&?\.(?!\.)|\|\||&&)")
_END = re.compile(r"[ \t\r]*(?:#[^\n]*)?(?:\n|;|\Z)")
_NUMBER = re.compile(r"-?[0-9]+(?:_[0-9]+)*(\.[0-9]+(?:e-?[0-9]+)?)?(?![\w.])")
_SYMBOL = re.compile(r":([A-Za-z_]\w*[?!]?)")
_KEY = re.compile(r"([A-Za-z_]\w*):(?!:)")
_WORD = re.compile(r"(?:[A-Z]\w*::)*[A-Za-z_$]\w*(?:\.[a-z_]\w*)?")
_WORDS = re.compile(r"%([wi])([(\[{<])([^)\]}>\\#]*)([)\]}>])")
_REGEXP = re.compile(
    r"/((?:\\.|[^/\\\n])*)/([a-z]*)|%r\{((?:\\.|[^{}\\\n]|\{[^{}\n]*\})*)\}([a-z]*)"
)
_SINGLE = re.compile(r"'((?:\\.|[^'\\])*+)'", re.DOTALL)
_CHUNK = re.compile(r'[^"\\#]+|#(?!\{)')
_ESCAPE = re.compile(
    r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-7][0-9A-Fa-f])|(.))", re.DOTALL
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "s": " ", "e": "\x1b", "0": "\0", "a": "\a",
            "b": "\b", "f": "\f", "v": "\v", "\n": ""}  # fmt: skip
_CONSTANTS: dict[str, Value] = {
    "true": True, "false": False, "nil": None,
    "STDOUT": Symbol("STDOUT"), "STDERR": Symbol("STDERR"),
    "$stdout": Symbol("STDOUT"), "$stderr": Symbol("STDERR"),
    "OpenSSL::SSL::VERIFY_NONE": Symbol("verify_none"),
    "OpenSSL::SSL::VERIFY_PEER": Symbol("verify_peer"),
}  # fmt: skip


class NotLiteral(Exception):
    """Something else than a value that can be read."""


class Expressions:
    """Reads values, from `place` on.

    Args:
        names: what names stand for.
    """

    def __init__(self, text: str, file: str, env: Mapping[str, str], names: dict[str, str]) -> None:
        self.names = names
        self.place = 0
        self.variables: list[str] = []
        """Of the environment, that the statement used."""
        self._text = text
        self._file = file
        self._env = env
        self._length = len(text.rstrip())
        self._lines = [found.start() for found in re.finditer("\n", text)]
        self._values = 0
        self._characters = 0

    def begin(self, place: int) -> None:
        """Read a statement's value from there on."""
        self.place = place
        self.variables = []

    def expect(self, sign: str) -> None:
        """Read a sign.

        Raises:
            NotLiteral: there is another one.
        """
        self._skip(_SPACE)
        if not self._text.startswith(sign, self.place):
            if self.place >= self._length and sign in ")]}":
                raise IncompleteRuby(self.place, f"{sign} is missing")
            raise NotLiteral
        self.place += len(sign)

    def require_end(self) -> None:
        """Read the end of the statement.

        Raises:
            NotLiteral: it goes on, with `if` or a call, say.
        """
        found = _END.match(self._text, self.place)
        if found is None:
            raise NotLiteral
        if _GOES_ON.match(self._text, found.end()):
            raise NotLiteral
        self.place = found.end()

    def key(self) -> Value:
        """What stands in brackets behind a name."""
        self.expect("[")
        value = self.value()
        self.expect("]")
        return value

    def in_parentheses(self, depth: int = 0) -> Value:
        """The one argument of a call."""
        self.expect("(")
        self._skip(_SPACE_AND_LINES)
        value = self.value(depth)
        self._skip(_SPACE_AND_LINES)
        self.expect(")")
        return value

    def value(self, depth: int = 0) -> Value:
        """A value, or several with `||` between them: the first that there is.

        Raises:
            NotLiteral: there is none.
            IncompleteRuby: it has no end, or is too deep, or there is too much.
        """
        value = self._one(depth)
        while found := _OR.match(self._text, self.place):
            self.place = found.end()
            other = self._one(depth)
            value = other if value is None or value is False else value
        return value

    def _one(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise IncompleteRuby(self.place, f"brackets in brackets more than {MAX_DEPTH} times")
        self._values += 1
        if self._values > MAX_VALUES:
            raise IncompleteRuby(self.place, f"more than {MAX_VALUES:,} values in the file")
        self._skip(_SPACE)
        text, place = self._text, self.place
        match text[place : place + 1]:
            case "'":
                return self._counted(self._single())
            case '"':
                return self._counted(self._double(depth))
            case "[":
                return self._array(depth)
            case "{":
                return self._hash(depth)
            case "/" | "%":
                return self._regexp_or_words()
            case ":":
                return self._symbol(depth)
        if found := _NUMBER.match(text, place):
            self.place = found.end()
            if len(found[0]) > 30:
                raise NotLiteral
            return float(found[0]) if found[1] else int(found[0])
        return self._named(depth)

    def _single(self) -> str:
        found = _SINGLE.match(self._text, self.place)
        if found is None:
            raise IncompleteRuby(self.place, "' without an end")
        self.place = found.end()
        return re.sub(r"\\(['\\])", r"\1", found[1])

    def _double(self, depth: int) -> str:
        start = self.place
        self.place += 1
        parts: list[str] = []
        while True:
            if found := _CHUNK.match(self._text, self.place):
                parts.append(found[0])
                self.place = found.end()
            elif self._text.startswith('"', self.place):
                self.place += 1
                return "".join(parts)
            elif self._text.startswith("#{", self.place):
                self.place += 2
                value = self.value(depth + 1)
                self.expect("}")
                if value is not None and not isinstance(value, str):
                    raise NotLiteral
                parts.append(self._counted(value or ""))
            elif found := _ESCAPE.match(self._text, self.place):
                parts.append(_escaped(found))
                self.place = found.end()
            else:
                raise IncompleteRuby(start, '" without an end')

    def _counted(self, text: str) -> str:
        self._characters += len(text)
        if self._characters > MAX_TEXT:
            raise IncompleteRuby(self.place, f"more than {MAX_TEXT:,} characters of strings")
        return text

    def _regexp_or_words(self) -> Value:
        if found := _WORDS.match(self._text, self.place):
            if "([{<".index(found[2]) != ")]}>".index(found[4]):
                raise NotLiteral
            self.place = found.end()
            words = found[3].split()
            self._values += len(words)
            return list(words) if found[1] == "w" else [Symbol(word) for word in words]
        found = _REGEXP.match(self._text, self.place)
        if found is None:
            raise NotLiteral
        source = found[1] if found[1] is not None else found[3]
        if "#{" in source:
            raise NotLiteral
        self.place = found.end()
        return Regexp(self._counted(source), found[2] or found[4] or "")

    def _symbol(self, depth: int) -> Value:
        if self._text.startswith(':"', self.place):
            self.place += 1
            return Symbol(self._double(depth))
        if self._text.startswith(":'", self.place):
            self.place += 1
            return Symbol(self._single())
        found = _SYMBOL.match(self._text, self.place)
        if found is None:
            raise NotLiteral
        self.place = found.end()
        return Symbol(found[1])

    def _array(self, depth: int) -> Value:
        start = self.place
        self.expect("[")
        values: list[Value] = []
        while not self._closes("]", start):
            values.append(self._item(depth, "]"))
            self._separate("]")
        return values

    def _hash(self, depth: int) -> Value:
        start = self.place
        self.expect("{")
        pairs: list[tuple[Value, Value]] = []
        while not self._closes("}", start):
            pairs.append(self._pair(depth))
            self._separate("}")
        return Hash(tuple(pairs))

    def _closes(self, sign: str, start: int) -> bool:
        """Whether a collection ends here, of which the end is then read."""
        self._skip(_SPACE_AND_LINES)
        if self.place >= len(self._text):
            raise IncompleteRuby(start, f"{self._text[start]} without an end")
        if self._text.startswith(sign, self.place):
            self.place += 1
            return True
        return False

    def _separate(self, sign: str) -> None:
        self._skip(_SPACE_AND_LINES)
        if self._text.startswith(",", self.place):
            self.place += 1
        elif not self._text.startswith(sign, self.place) and self.place < len(self._text):
            raise NotLiteral

    def _item(self, depth: int, sign: str) -> Value:
        """An element; where it is not a literal, what stands there instead."""
        start = self.place
        try:
            value = self.value(depth + 1)
        except NotLiteral:
            return self._unread(start)
        self._skip(_SPACE_AND_LINES)
        is_whole = self._text[self.place : self.place + 1] in {"", ",", sign}
        return value if is_whole else self._unread(start)

    def _unread(self, start: int) -> Unread:
        self.place = _end_of_item(self._text, start)
        shown = " ".join(self._text[start : min(self.place, start + _SHOWN)].split())
        return Unread(bisect(self._lines, start) + 1, shown)

    def _pair(self, depth: int) -> tuple[Value, Value]:
        start = self.place
        key: Value
        if found := _KEY.match(self._text, self.place):
            self.place = found.end()
            key = Symbol(found[1])
        else:
            try:
                key = self.value(depth + 1)
                self._skip(_SPACE_AND_LINES)
                if isinstance(key, str) and self._text.startswith(":", self.place):
                    self.place += 1
                    key = Symbol(key)
                else:
                    self.expect("=>")
            except NotLiteral:
                return self._unread(start), None
        self._skip(_SPACE_AND_LINES)
        return key, self._item(depth, "}")

    def _named(self, depth: int) -> Value:
        found = _WORD.match(self._text, self.place)
        if found is None:
            raise NotLiteral
        word = found[0]
        self.place = found.end()
        if word in _CONSTANTS:
            return _CONSTANTS[word]
        match word:
            case "__FILE__":
                return self._counted(self._file)
            case "__dir__":
                return self._counted(posixpath.dirname(self._file))
            case "ENV":
                self.expect("[")
                name = self.value(depth + 1)
                self.expect("]")
                return self._variable(name, None)
            case "ENV.fetch" | "File.join" | "File.dirname" | "File.expand_path":
                return self._call(word, self._arguments(depth))
        if word not in self.names or self._text[self.place : self.place + 1] in {"(", "[", "."}:
            raise NotLiteral
        return self._counted(self.names[word])

    def _arguments(self, depth: int) -> list[Value]:
        start = self.place
        self.expect("(")
        arguments: list[Value] = []
        while not self._closes(")", start):
            arguments.append(self.value(depth + 1))
            self._separate(")")
        return arguments

    def _call(self, function: str, arguments: list[Value]) -> Value:
        if function == "ENV.fetch" and 1 <= len(arguments) <= 2:
            value = self._variable(arguments[0], None)
            if value is None and len(arguments) == 1:
                raise NotLiteral
            return arguments[1] if value is None else value
        paths = [path for path in arguments if isinstance(path, str)]
        if len(paths) < len(arguments) or not paths:
            raise NotLiteral
        match function, len(paths):
            case "File.join", _:
                return self._counted(re.sub("/+", "/", "/".join(paths)))
            case "File.dirname", 1:
                return self._counted(posixpath.dirname(paths[0]) or ".")
            case "File.expand_path", 1 | 2:
                return self._counted(self._expanded(paths))
        raise NotLiteral

    def _expanded(self, paths: list[str]) -> str:
        path = paths[0]
        if path == "~" or path.startswith("~/"):
            path = self._home() + path[1:]
        if not path.startswith("/") and len(paths) == 2:
            base = paths[1]
            path = posixpath.join(self._home() + base[1:] if base[:1] == "~" else base, path)
        if not path.startswith("/"):
            raise NotLiteral
        return posixpath.normpath(path)

    def _home(self) -> str:
        return self._env.get("HOME") or "/"

    def _variable(self, name: Value, default: Value) -> Value:
        text = plain(name)
        if text is None:
            raise NotLiteral
        self.variables.append(text)
        value = self._env.get(text)
        return default if value is None else self._counted(value)

    def _skip(self, what: re.Pattern[str]) -> None:
        found = what.match(self._text, self.place)
        if found is not None:
            self.place = found.end()


def _escaped(found: re.Match[str]) -> str:
    digits = found[1] or found[2] or found[3]
    if digits is None:
        character = found[4]
        if character in "0123456789ucxCM" and character != "0":
            raise NotLiteral
        return _ESCAPES.get(character, character)
    code = int(digits, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise NotLiteral
    return chr(code)


_ITEM = re.compile(
    r"#[^\n]*|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|(?P<half>['\"])|(?P<open>[(\[{])"
    r"|(?P<close>[)\]}])|(?P<comma>,)|[^'\"#()\[\]{},]+",
    re.DOTALL,
)


def _end_of_item(text: str, start: int) -> int:
    """Where an element ends: before its comma, or the bracket that ends all.

    Raises:
        IncompleteRuby: it has no end.
    """
    depth = 0
    place = start
    while found := _ITEM.match(text, place):
        match found.lastgroup:
            case "half":
                break
            case "open":
                depth += 1
            case "close" if not depth:
                return place
            case "comma" if not depth:
                return place
            case "close":
                depth -= 1
        place = found.end()
    raise IncompleteRuby(start, "brackets or quotes without an end")
