"""A command line as it is typed, and what may be inserted into it. Pure.

Whatever is offered ends up on a line that a shell will run: every character that means something
to the shell is quoted, in the way in which the word was begun.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

AFTER = "_PUSHCLI_AFTER"
"""In the environment: the words behind the cursor, a line each."""
UNFINISHED = "part"
"""Type of what is no whole word yet: shells put no blank behind it."""
_PLAIN = frozenset("_.,:@%+/=-")
_IN_DOUBLE = re.compile(r'([\\"$`])')


@dataclass(frozen=True)
class Character:
    """One that the shell sees, and where it ends in what was typed.

    Args:
        quoted: whether it was typed in quotes, or behind a backslash.
    """

    text: str
    quoted: bool


@dataclass
class Word:
    """A word, as typed and as the program gets it.

    Args:
        quote: the quote that is still open at its end, or empty.
        opened: how many characters it had when that was opened.
    """

    characters: list[Character] = field(default_factory=list)
    quote: str = ""
    opened: int = 0

    @property
    def text(self) -> str:
        """Without the shell's quotes."""
        return "".join(character.text for character in self.characters)


def split(typed: str) -> list[Word]:
    """The words of a line up to the cursor; the last is the one there, which may be empty."""
    words, blank, escaped = [Word()], True, False
    for character in typed:
        word = words[-1]
        if escaped:
            # In double quotes a backslash is one where it does not need to quote.
            if word.quote and character not in '$`"\\\n':
                word.characters.append(Character("\\", quoted=True))
            word.characters.append(Character(character, quoted=True))
            escaped = False
        elif character == "\\" and word.quote != "'":
            escaped = True
        elif word.quote:
            if character == word.quote:
                word.quote = ""
            else:
                word.characters.append(Character(character, quoted=True))
        elif character in "'\"":
            word.quote, word.opened = character, len(word.characters)
        elif character in " \t\n":
            if not blank:
                words.append(Word())
            blank = True
            continue
        else:
            word.characters.append(Character(character, quoted=False))
        blank = False
    return words


def is_plain(text: str) -> bool:
    """Whether no shell sees more in it than its characters."""
    return all(map(_is_plain, text))


def for_bash(value: str, word: Word, breaks: str) -> str | None:
    """What bash is to put in the place of the part of the word that it replaces.

    That part begins behind an open quote, else behind the last character at which bash breaks
    words for completion.

    Args:
        value: the whole word, unquoted.
        breaks: those characters, `COMP_WORDBREAKS`.

    Returns:
        None: it cannot be said in these quotes.
    """
    kept = word.opened if word.quote else _broken(word.characters, breaks)
    if not value.startswith(word.text[:kept]):
        return None
    rest = value[kept:]
    match word.quote:
        case "'":
            return rest.replace("'", "'\\''")
        case '"':
            # No quoting keeps bash from taking it for history there.
            return None if "!" in rest else _IN_DOUBLE.sub(r"\\\1", rest)
        case _:
            return "".join(_escaped(rest))


def _broken(characters: list[Character], breaks: str) -> int:
    # At @, where it completes names of hosts, the part begins before the character.
    places = [
        place + (character.text != "@")
        for place, character in enumerate(characters)
        if not character.quoted and character.text in breaks
    ]
    return places[-1] if places else 0


def _escaped(text: str) -> Iterator[str]:
    for character in text:
        yield character if _is_plain(character) else f"\\{character}"


def _is_plain(character: str) -> bool:
    return character.isalnum() or character in _PLAIN
