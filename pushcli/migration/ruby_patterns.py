r"""The original's patterns as ours: Ruby's expressions, and what a command refers to.

The original looks for an expression anywhere in a request, puts the command in the place of
what matched (`gsub`, groups pasted in as text), leaves what stands around it, and has a shell run
the whole. Ours must match the whole request, and passes groups as arguments. The two mean the same
where an expression spans the request, and groups cannot hold anything that a shell reads.
"""

import re
from itertools import zip_longest

import msgspec

from pushcli.migration.ruby_values import Regexp
from pushcli.whitelist.pattern import MAX_EXPRESSION

_TOKEN = re.compile(
    r"""
      \\x(?P<hex>[0-9A-Fa-f]{2})
    | \\(?P<escape>.)
    | \[(?P<class>\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\[\]\\])*)\]
    | \((?P<special>\?(?:<(?P<name>[A-Za-z_]\w*)>|:|i\)|i:|\#[^)]*\))?)
    | (?P<repeat>[*+?]\??|\{[0-9]*,?[0-9]*\}\??)
    | (?P<sign>[()|^$.])
    | (?P<literal>[^\\\[\]{}])
    """,
    re.VERBOSE,
)
_REFERENCE = re.compile(
    r"\\(?:(?P<number>[0-9])|k<(?P<name>[A-Za-z_]\w*)>|(?P<other>.))", re.DOTALL
)
_LETTERS = frozenset("dDwWsSbBAztrnfva")
_NOTHING_TO_A_SHELL = re.compile(r"[A-Za-z0-9_./:=%@,+-]*")
_MAX_REFERENCE = 9


class Untranslatable(ValueError):
    """A pattern or command that ours cannot express; one line."""


class Translated(msgspec.Struct, frozen=True, kw_only=True):
    """An expression in our terms.

    Args:
        expression: without its slashes.
        at_start, at_end: whether it reaches to the request's ends wherever it is found.
        groups: how many there are.
        names: numbers of those that have names.
        harmless: numbers of groups that hold something, and nothing that a shell reads.
    """

    expression: str
    at_start: bool
    at_end: bool
    groups: int
    names: dict[str, int]
    harmless: frozenset[int]

    @property
    def is_whole(self) -> bool:
        """Whether it is found in whole requests only."""
        return self.at_start and self.at_end


class _Part(msgspec.Struct, kw_only=True):
    """A token of an expression; `group` is its number, of an opening parenthesis."""

    text: str
    kind: str
    group: int = 0
    harmless: bool = False


def translate(regexp: Regexp) -> Translated:
    """The expression in RE2's terms.

    Raises:
        Untranslatable: RE2 has no such thing, or means something else by it.
    """
    if extra := set(regexp.flags) - set("imounse"):
        raise Untranslatable(f"the flag {''.join(sorted(extra))} has no counterpart")
    if len(regexp.source) > MAX_EXPRESSION:
        raise Untranslatable(f"more than {MAX_EXPRESSION} characters")
    parts, names = _parts(regexp.source)
    flags = "".join(sorted({"i": "i", "m": "s"}[f] for f in set(regexp.flags) & {"i", "m"}))
    text = "".join(part.text for part in parts)
    at_start, at_end = _reaches(parts)
    return Translated(
        expression=f"(?{flags}){text}" if flags else text,
        at_start=at_start,
        at_end=at_end,
        groups=sum(part.group > 0 for part in parts),
        names=names,
        harmless=_harmless(parts),
    )


def widened(translated: Translated) -> str:
    """An expression that matches a whole request if the original's is found anywhere in it.

    Its first group is what stands before, its second what the original matched, its last what
    stands behind; those of the original come between.
    """
    return f"^(.*?)({translated.expression})(.*)$"


def command(text: str, translated: Translated, *, wide: bool) -> str:
    r"""A command with the original's references as ours.

    Args:
        wide: it goes with `widened`: groups are counted anew, and what stands around is kept.

    Raises:
        Untranslatable: it refers to what ours cannot.
    """

    def replaced(found: re.Match[str]) -> str:
        if found["other"] == "\\":
            if text[found.end() : found.end() + 1].isdigit():
                raise Untranslatable("its command has an escaped backslash before a digit")
            return "\\"
        if found["other"] == "&":
            number = 0
        elif found["other"]:
            if found["other"] in "`'+":
                raise Untranslatable(f"its command refers to what stands around: {found[0]}")
            return found[0]
        elif found["name"]:
            if found["name"] not in translated.names:
                raise Untranslatable(f"its command refers to a group that is not there: {found[0]}")
            number = translated.names[found["name"]]
        else:
            number = int(found["number"])
        if number > translated.groups:
            raise Untranslatable(f"its command refers to a group that is not there: {found[0]}")
        return _reference(number + 2 if wide else number)

    replaced_text = _REFERENCE.sub(replaced, text)
    if not wide:
        return replaced_text
    return f"{_reference(1)}{replaced_text}{_reference(translated.groups + 3)}"


def references(text: str, translated: Translated) -> frozenset[int]:
    """The groups that a command refers to; 0 is all that was matched."""
    found = set()
    for one in _REFERENCE.finditer(text):
        if one["number"]:
            found.add(int(one["number"]))
        elif one["name"]:
            found.add(translated.names.get(one["name"], 0))
        elif one["other"] == "&":
            found.add(0)
    return frozenset(found)


def _reference(number: int) -> str:
    if number > _MAX_REFERENCE:
        raise Untranslatable(f"its command would need group {number}: there are references to 9")
    return f"\\{number}"


def _parts(source: str) -> tuple[list[_Part], dict[str, int]]:
    parts: list[_Part] = []
    names: dict[str, int] = {}
    groups, place, open_groups = 0, 0, 0
    has_plain_group = False
    while place < len(source):
        found = _TOKEN.match(source, place)
        if found is None:
            raise Untranslatable(f"{source[place : place + 8]!r} cannot be read")
        place = found.end()
        kind = found.lastgroup or ""
        if kind == "special" or found[0] == "(":
            opening = found[0]
            if opening.startswith("(?#"):
                continue
            part = _Part(text=opening, kind="(")
            if opening == "(?i)":
                part.kind = "flag"
            elif opening == "(?":
                raise Untranslatable(f"{source[place - 2 : place + 3]!r} has no counterpart")
            elif opening == "(" or found["name"]:
                groups += 1
                part.group, part.text = groups, "("
                has_plain_group |= not found["name"]
                if found["name"]:
                    names[found["name"]] = groups
            open_groups += part.kind == "("
        else:
            part = _part(found, kind)
            if part.kind == ")":
                open_groups -= 1
        if part.kind == "repeat" and (not parts or parts[-1].kind in {"repeat", "(", "|"}):
            raise Untranslatable(f"{found[0]!r} repeats nothing, or a repetition")
        parts.append(part)
    if names and has_plain_group:
        # Ruby counts only those with names then.
        raise Untranslatable("it has groups with names, and others")
    if open_groups:
        raise Untranslatable("its parentheses do not match")
    return parts, names


def _part(found: re.Match[str], kind: str) -> _Part:
    text = found[0]
    if kind == "hex":
        return _Part(text=text, kind="atom")
    if kind == "escape":
        letter = found["escape"]
        if letter in {"A", "z", "Z"}:
            return _Part(text="^" if letter == "A" else "$", kind="^" if letter == "A" else "$")
        return _Part(text=_escape(letter), kind="atom", harmless=letter in "wd-./:=%@,+")
    if kind == "class":
        return _class(found["class"])
    if kind == "repeat":
        if text.startswith("{"):
            text = _counted(text)
        return _Part(text=text, kind="repeat")
    if kind == "sign":
        return _Part(text=text, kind="." if text == "." else text)
    # A slash needs no backslash in ours.
    return _Part(text=text, kind="atom", harmless=bool(_NOTHING_TO_A_SHELL.fullmatch(text)))


def _counted(text: str) -> str:
    if not re.fullmatch(r"\{(?:[0-9]{1,3}(?:,(?:[0-9]{1,3})?)?|,[0-9]{1,3})\}", text):
        raise Untranslatable(f"{text!r} has no counterpart")
    return text.replace("{,", "{0,")


def _escape(letter: str) -> str:
    if letter == "h":
        return "[0-9A-Fa-f]"
    if letter == "H":
        return "[^0-9A-Fa-f]"
    if letter == "/":
        return "/"
    if letter.isalnum() and letter not in _LETTERS:
        raise Untranslatable(f"\\{letter} has no counterpart")
    return f"\\{letter}" if letter.isascii() else letter


def _class(content: str) -> _Part:
    if "&&" in content:
        raise Untranslatable("&& in brackets has no counterpart")
    if found := re.search(r"\[:\^?(?!(?:digit|space|xdigit):)[a-z]+:\]", content):
        raise Untranslatable(f"{found[0]} means more characters in Ruby")
    for found in re.finditer(r"\\(.)", content):
        if found[1].isalnum() and found[1] not in "dDwWsShtrnfv":
            raise Untranslatable(f"\\{found[1]} in brackets has no counterpart")
    text = content.replace("\\h", "0-9A-Fa-f").replace("\\/", "/")
    # From a letter to one of another kind, or to a sign, lie signs.
    ranges = re.findall(r"([A-Za-z0-9])-([A-Za-z0-9])", content)
    members = re.sub(r"\\[wdh./:=%@,+-]|[A-Za-z0-9]-[A-Za-z0-9]", "", content)
    harmless = (
        not content.startswith("^")
        and _NOTHING_TO_A_SHELL.fullmatch(members) is not None
        and "-" not in members[1:-1]
        and all(_is_one_kind(low, high) for low, high in ranges)
    )
    return _Part(text=f"[{text}]", kind="atom", harmless=harmless)


def _is_one_kind(low: str, high: str) -> bool:
    return any(low in kind and high in kind for kind in (
        "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    ))  # fmt: skip


def _reaches(parts: list[_Part]) -> tuple[bool, bool]:
    """Two answers: does what it finds begin where the request begins, and end where it ends?"""
    depth = 0
    for part in parts:
        depth += (part.kind == "(") - (part.kind == ")")
        if part.kind == "|" and not depth:
            return False, False
    parts = [part for part in parts if part.kind != "flag"]
    kinds = [part.text if part.kind in {"repeat", "."} else part.kind for part in parts]
    repeated = [part.kind == "repeat" for part in parts[1:]] + [False]
    anything = ([".", "*"], [".", "+"])
    in_group = (["(", ".", "*", ")"], ["(", ".", "+", ")"])
    at_start = (
        (kinds[:1] == ["^"] and not repeated[0])
        or kinds[:2] in anything
        or (kinds[:4] in in_group and not repeated[3])
    )
    at_end = kinds[-1:] == ["$"] or kinds[-2:] in anything or kinds[-4:] in in_group
    return at_start, at_end


def _harmless(parts: list[_Part]) -> frozenset[int]:
    """The groups that always hold something, and nothing that a shell reads.

    Strictly: a group without alternatives, not repeated itself, that no optional group holds.
    """
    found: set[int] = set()
    for start, part in enumerate(parts):
        if not 0 < part.group <= _MAX_REFERENCE:
            continue
        end = _closing(parts, start)
        inside = parts[start + 1 : end]
        if end + 1 < len(parts) and parts[end + 1].kind == "repeat":
            continue
        if any(p.kind not in {"atom", "repeat", "|"} for p in inside):
            continue
        if not all(p.harmless for p in inside if p.kind == "atom"):
            continue
        if _is_inside(parts, start) or not _always_holds(inside):
            continue
        found.add(part.group)
    return frozenset(found)


def _closing(parts: list[_Part], start: int) -> int:
    depth = 0
    for place in range(start, len(parts)):
        depth += (parts[place].kind == "(") - (parts[place].kind == ")")
        if not depth:
            return place
    raise Untranslatable("its parentheses do not match")


def _is_inside(parts: list[_Part], start: int) -> bool:
    """Whether it stands in another group, or beside an alternative: it may hold nothing then."""
    depth = 0
    for part in parts[:start]:
        depth += (part.kind == "(") - (part.kind == ")")
    if depth:
        return True
    for part in parts:
        depth += (part.kind == "(") - (part.kind == ")")
        if part.kind == "|" and not depth:
            return True
    return False


def _always_holds(inside: list[_Part]) -> bool:
    branches: list[list[_Part]] = [[]]
    for part in inside:
        if part.kind == "|":
            branches.append([])
        else:
            branches[-1].append(part)
    return all(_least(branch) > 0 for branch in branches)


def _least(branch: list[_Part]) -> int:
    """Characters at least."""
    least = 0
    for part, after in zip_longest(branch, branch[1:]):
        if part is not None and part.kind == "atom":
            optional = (
                after is not None
                and after.kind == "repeat"
                and (after.text[0] in "*?" or after.text.startswith("{0"))
            )
            least += not optional
    return least
