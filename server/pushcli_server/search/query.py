"""Search queries as Chef's users write them: Lucene's language, read into data.

Our own parser, as the one that there is reads `&&` and `!role:x` as words, refuses
`recipes:apache2::default`, and overflows on nested parentheses.
"""

import re
from dataclasses import dataclass
from enum import Enum

MAX_LENGTH = 4096
MAX_DEPTH = 50
MAX_TERMS = 250
"""What a database takes in one expression, with room to spare."""
NAME = "name"
"""The field of a word without one."""
ANY_FIELD = "*"


class BadQuery(ValueError):
    """A text that is no query."""


class Wild(Enum):
    """What stands for other characters."""

    MANY = "*"
    ONE = "?"


@dataclass(frozen=True, slots=True)
class Everything:
    """`*:*`."""


@dataclass(frozen=True, slots=True)
class Exists:
    """`field:*`."""

    field: str


@dataclass(frozen=True, slots=True)
class Term:
    """The field has this value; `*` is any field."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The field has a value of this pattern."""

    field: str
    pattern: tuple[str | Wild, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field has a value between these; None: open. By number if both ends are numbers."""

    field: str
    low: str | None
    high: str | None
    includes_low: bool
    includes_high: bool


@dataclass(frozen=True, slots=True)
class Not:
    """The other one."""

    query: "Query"


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    queries: tuple["Query", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of them."""

    queries: tuple["Query", ...]


Query = Everything | Exists | Term | Wildcard | Range | Not | And | Or


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        BadQuery: it is none, or is too long or too deep.
    """
    if len(text) > MAX_LENGTH or "\0" in text:
        raise BadQuery(text)
    parser = _Parser(text)
    found = parser.alternatives(NAME)
    if parser.kind is not None:
        raise BadQuery(text)
    return found


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<and>&&|AND(?![^\s()])) | (?P<or>\|\||OR(?![^\s()])) | (?P<not>!|NOT(?![^\s()]))
    | (?P<open>\() | (?P<close>\))
    | (?P<plus>\+) | (?P<minus>-)
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<field>(?:[^\s()":\\&|!+\[\]{}-]|\\.)(?:[^\s()":\\&|]|\\.|&(?!&)|\|(?!\|))*):
    | (?P<word>(?![:\[{])(?:[^\s()"\\&|]|\\.|&(?!&)|\|(?!\|))+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_VALUE = re.compile(
    r"""
      (?P<range>[\[{]\s*(?P<low>"(?:[^"\\]|\\.)*"|[^\s\]}"]+)\s+TO\s+
        (?P<high>"(?:[^"\\]|\\.)*"|[^\s\]}"]+)\s*[\]}])
    | (?P<open>\()
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<word>(?![\[{])(?:[^\s()"\\&|]|\\.|&(?!&)|\|(?!\|))+)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(.)|([*?])", re.DOTALL)


class _Parser:
    """Recursive descent, with `kind` of what comes next, and `text` its text."""

    def __init__(self, query: str) -> None:
        self._query = query
        self._place = 0
        self._depth = 0
        self._terms = 0
        self.kind: str | None = None
        self.text = ""
        self._next()

    def alternatives(self, field: str) -> Query:
        """Clauses with `OR` between them, or nothing, which means the same; with signs
        (`+`, `-`) a clause is required, or excluded.
        """
        self._deeper()
        required: list[Query] = []
        optional: list[Query] = []
        excluded: list[Query] = []
        explicit = True
        while True:
            negative, positive = self.kind in ("minus", "not"), self.kind == "plus"
            clause, is_lone = self._conjunction(field)
            explicit = explicit or self.kind == "or"
            if negative and is_lone and not explicit and isinstance(clause, Not):
                excluded.append(clause.query)
            elif positive and is_lone:
                required.append(clause)
            else:
                optional.append(clause)
            if self.kind == "or":
                self._next()
                explicit = True
            elif self.kind is None or self.kind == "close":
                break
            else:
                explicit = False
        self._depth -= 1
        if not required and optional:
            required = [_either(optional)]
        return _all([*(required or [Everything()]), *(Not(clause) for clause in excluded)])

    def _conjunction(self, field: str) -> tuple[Query, bool]:
        """Clauses with `AND` between them, and whether it is only one."""
        clauses = [self._negated(field)]
        while self.kind == "and":
            self._next()
            clauses.append(self._negated(field))
        return _all(clauses), len(clauses) == 1

    def _negated(self, field: str) -> Query:
        signs = 0
        while self.kind in ("not", "minus", "plus"):
            signs += self.kind != "plus"
            self._next()
        clause = self._clause(field)
        return Not(clause) if signs % 2 else clause

    def _clause(self, field: str) -> Query:
        match self.kind:
            case "open":
                return self._group(field)
            case "field":
                return self._of_field(_plain(self.text, self._query))
            case "quoted":
                text = self.text
                self._next()
                return self._term(Term(field, _unquoted(text)))
            case "word":
                text = self.text
                self._next()
                return self._term(_word(field, text, self._query))
            case _:
                raise BadQuery(self._query)

    def _group(self, field: str) -> Query:
        self._next()
        inner = self.alternatives(field)
        if self.kind != "close":
            raise BadQuery(self._query)
        self._next()
        return inner

    def _of_field(self, field: str) -> Query:
        found = _VALUE.match(self._query, self._place)
        if found is None or not field:
            raise BadQuery(self._query)
        if found["open"]:
            self.kind = "open"
            self._place = found.end()
            return self._group(field)
        self._place = found.end()
        self._next()
        if found["range"]:
            return self._term(_range(field, found))
        if found["quoted"]:
            return self._term(Term(field, _unquoted(found["quoted"])))
        return self._term(_word(field, found["word"], self._query))

    def _term(self, term: Query) -> Query:
        self._terms += 1
        if self._terms > MAX_TERMS:
            raise BadQuery(self._query)
        return term

    def _next(self) -> None:
        found = _TOKEN.match(self._query, self._place)
        if found is None:
            if self._query[self._place :].strip():
                raise BadQuery(self._query)
            self.kind, self.text = None, ""
            return
        self._place = found.end()
        self.kind = found.lastgroup
        self.text = found[found.lastgroup or 0]

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise BadQuery(self._query)


def _all(queries: list[Query]) -> Query:
    return queries[0] if len(queries) == 1 else And(tuple(queries))


def _either(queries: list[Query]) -> Query:
    return queries[0] if len(queries) == 1 else Or(tuple(queries))


def _word(field: str, text: str, query: str) -> Query:
    pattern = _pattern(text)
    match pattern:
        case ():
            raise BadQuery(query)
        case (Wild.MANY,):
            return Everything() if field == ANY_FIELD else Exists(field)
        case (str() as value,):
            return Term(field, value)
        case _:
            return Wildcard(field, pattern)


def _pattern(text: str) -> tuple[str | Wild, ...]:
    """Text and wildcards; a character after a backslash is itself."""
    pieces: list[str | Wild] = []
    place = 0
    for found in _ESCAPED.finditer(text):
        _append(pieces, text[place : found.start()])
        if found[2]:
            pieces.append(Wild(found[2]))
        else:
            _append(pieces, found[1])
        place = found.end()
    _append(pieces, text[place:])
    return tuple(pieces)


def _append(pieces: list[str | Wild], text: str) -> None:
    if text and pieces and isinstance(pieces[-1], str):
        pieces[-1] += text
    elif text:
        pieces.append(text)


def _plain(text: str, query: str) -> str:
    """A field's name."""
    if text == ANY_FIELD:
        return ANY_FIELD
    match _pattern(text):
        case (str() as name,):
            return name
        case _:
            raise BadQuery(query)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def _range(field: str, found: re.Match[str]) -> Range:
    return Range(
        field,
        _end(found["low"]),
        _end(found["high"]),
        includes_low=found["range"][0] == "[",
        includes_high=found["range"][-1] == "]",
    )


def _end(text: str) -> str | None:
    if text == "*":
        return None
    if text.startswith('"'):
        return _unquoted(text)
    return re.sub(r"\\(.)", r"\1", text)
