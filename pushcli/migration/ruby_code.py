"""Where code that is not read ends: strings, brackets, here-documents and blocks in it."""

import re

_PIECE = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<string>'(?:\\.|[^'\\])*+'|"(?:\\.|[^"\\])*+"|`(?:\\.|[^`\\])*+`)
    | (?P<open_string>['"`])
    | (?P<document><<(?P<dash>[~-])?(?P<mark>['"]?)
        (?P<name>(?(dash)[A-Za-z_]|[A-Z_])[A-Za-z0-9_]*)(?P=mark))
    | (?P<regexp>(?<=[=(,|&!~{\[\s])/(?![\s/=])(?:\\.|[^/\\\n])+/[a-z]*)
    | (?P<go_on>(?:\\|[,+*|&.=({\[]|(?<=\s)\?|\b(?:and|or|not))[ \t]*(?:\#[^\n]*)?\r?\n)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<end>\n|;)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENERS = frozenset({"case", "begin", "def", "class", "module", "do", "for"})
_CONDITIONS = frozenset({"if", "unless", "while", "until"})
"""They open a block where a statement begins; behind one they are its condition."""
_LOOP = re.compile(r"(?:while|until|for)\b")
_CALL = re.compile(r"(?:\s|#[^\n]*+)*+&?\.(?!\.)")
_NAMED = re.compile(
    r"""(?:^|;|\b(?:then|do|else|ensure)\b|(?<!\#)\{|\|)[ \t]*
    (?:Chef::Config(?:\.|\[[ \t]*[:'"]{1,2}))?(?P<name>[a-z_]\w*)""",
    re.VERBOSE | re.MULTILINE,
)


class IncompleteRuby(Exception):
    """Something that begins at `place` and has no end."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(reason)
        self.place = place
        self.reason = reason


def names_in(code: str) -> frozenset[str]:
    """The names with which statements in it begin."""
    return frozenset(found["name"] for found in _NAMED.finditer(code))


def end_of_statement(text: str, start: int) -> int:
    """Where a statement ends, over several lines or up to the `end` of its block.

    Raises:
        IncompleteRuby: it has no end.
    """
    brackets: list[int] = []
    blocks: list[int] = []
    documents: list[tuple[int, str]] = []
    begins = True
    place = start
    while place < len(text):
        found = _PIECE.match(text, place)
        assert found is not None  # noqa: S101 - the last alternative takes anything
        kind, piece = found.lastgroup, found[0]
        place = found.end()
        if "\n" in piece and kind in {"end", "go_on"} and documents:
            place = _behind_documents(text, place, documents)
        match kind:
            case "open_string":
                raise IncompleteRuby(found.start(), f"{piece} without an end")
            case "document":
                documents.append((found.start(), found["name"]))
            case "open":
                brackets.append(found.start())
            case "go_on" if piece[0] in "([{":
                brackets.append(found.start())
            case "close" if brackets:
                brackets.pop()
            case "word" if _is_method(text, found.start()):
                pass
            case "word" if piece in _OPENERS or (piece in _CONDITIONS and begins):
                # `while x do` is one block.
                if piece != "do" or not _has_condition(text, blocks, found.start()):
                    blocks.append(found.start())
            case "word" if piece == "end" and blocks:
                blocks.pop()
            case "end" if not brackets and not blocks:
                # The next line may be a part of this statement: `.method`.
                call = _CALL.match(text, place)
                if call is None:
                    return place
                # Past all lines between: looked through from each of them, they would take hours.
                place = call.end()
        begins = _begins(kind, piece, begins)
    for opened in (brackets, blocks):
        if opened:
            word = _PIECE.match(text, opened[-1])
            what = word[0].strip() if word else ""
            raise IncompleteRuby(opened[-1], f"{what} without an end")
    if documents:
        _behind_documents(text, place, documents)
    return place


def _begins(kind: str | None, piece: str, began: bool) -> bool:
    """Whether a statement begins behind this piece."""
    if kind == "other" and piece.isspace():
        return began
    if kind == "word":
        return piece in {"then", "else", "do", "begin", "ensure"}
    # `x = if y` opens a block, too.
    return kind in {"end", "open", "go_on"} or piece in {"=", "|"}


def _is_method(text: str, place: int) -> bool:
    """Whether a word is a method's name, a symbol or a key, such as `range.end`."""
    return text[place - 1 : place] in {".", ":", "@", "$"} and place > 0


def _has_condition(text: str, blocks: list[int], place: int) -> bool:
    if not blocks or text.find("\n", blocks[-1], place) >= 0:
        return False
    return _LOOP.match(text, blocks[-1]) is not None


def _behind_documents(text: str, place: int, documents: list[tuple[int, str]]) -> int:
    for start, name in documents:
        found = re.compile(rf"^[ \t]*{name}\r?(?:\n|\Z)", re.MULTILINE).search(text, place)
        if found is None:
            raise IncompleteRuby(start, f"<<{name} without an end")
        place = found.end()
    documents.clear()
    return place
