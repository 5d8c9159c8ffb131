"""Judging statements about editors one after the other: which count, and what they change."""

from collections.abc import Sequence

from pushcli.protocol import limits
from pushcli.whitelist import chain
from pushcli.whitelist.chain import ADD, CHECKPOINT, EDIT, Link, Statement
from pushcli.whitelist.standing import Pin, Pins, Standing, Void, Vouched, editor, is_pinned
from pushcli.whitelist.statements import EditorStatement

MAX_SEEN = 1_000
"""Digests of statements that are remembered."""
MAX_EDITORS = 1_000
"""Keys that editors vouch for."""
MAX_VOUCHERS = 50
"""Of one key."""
_LONGEST_NAME = 60


class Judge:
    """Statements one after the other.

    Attributes:
        is_bridged: whether a pinned key signed a checkpoint among them.
    """

    def __init__(self, standing: Standing, pins: Pins, *, org: str, latest: int) -> None:
        self.void: list[Void] = []
        self.is_bridged = False
        self._is_verified = False
        self._pins = pins
        self._org, self._latest = org, latest
        self._head, self._version = standing.head, standing.version
        self._seen = dict.fromkeys(standing.seen)
        self._vouched = dict(standing.vouched)
        self._vouchers = dict(standing.vouchers)
        self._taken_back = dict.fromkeys(standing.taken_back)
        self._asked = dict(standing.asked)
        self._old = dict(standing.old)

    def standing(self) -> Standing:
        """What is known now."""
        seen = tuple(self._seen)[-MAX_SEEN:]
        if self._head and self._head not in seen:
            seen = (self._head, *seen[1:])
        return Standing(
            head=self._head,
            version=self._version,
            seen=seen,
            vouched=self._vouched,
            vouchers=self._vouchers,
            taken_back=tuple(self._taken_back),
            asked=self._asked,
            old=self._old,
        )

    def inherit(self, statement: EditorStatement) -> None:
        """One that counted before there was a chain."""
        key = statement.editor_key().fingerprint
        if statement.version > self._latest:
            return
        self._old[key] = statement.version
        if statement.removed:
            self._vouched.pop(key, None)
            if key in self._pins.trusted:
                self._revoke(key)
        elif key != statement.key:
            self._vouch(key, statement)

    def old(self, base: Sequence[Statement]) -> None:
        """Statements of the old form: each may make the signer of one with a lower version."""
        waiting = [one for one in chain.in_order(base) if self._is_newer(one)]
        while True:
            fitting = next((one for one in waiting if self._counts(one.content.key)), None)
            if fitting is None:
                return
            waiting.remove(fitting)
            if self._is_newer(fitting):
                self._judge(fitting)

    def found(self, base: Sequence[Statement], first: Statement) -> bool:
        """Begin with what a first link stands for; whether it counts, if it is a checkpoint."""
        new = [one for one in base if one.digest not in self._seen]
        self.old([one for one in new if one.is_old])
        for one in new:
            if not one.is_old:
                self._judge(one)
        self.judge(first)
        is_void = any(void.digest == first.digest for void in self.void)
        return first.action != CHECKPOINT or not is_void

    def settle(self, base: Sequence[Statement], first: Statement) -> None:
        """What a first link stands for is all that is known of what lies before it."""
        if first.action == CHECKPOINT:
            added = {one.subject for one in base if one.action == ADD}
            for key in self._vouched.keys() - added:
                del self._vouched[key]
                self._forget_wish_of(key)
        self._seen = dict.fromkeys((*(one.digest for one in base), *self._seen))

    def judge(self, link: Statement) -> None:
        """The next link of the chain."""
        self._judge(link)
        self._seen.pop(link.digest, None)
        self._seen[link.digest] = None
        if self._is_verified:
            self._head = link.digest
            self._version = max(self._version, link.content.version)

    def _judge(self, one: Statement) -> None:
        self._is_verified = False
        reason = self._effect(one)
        if reason is not None:
            self.void.append(Void(one.digest, reason))
        elif one.is_old:
            self._old[one.subject] = one.content.version

    def _is_newer(self, one: Statement) -> bool:
        return one.content.version > self._old.get(one.subject, 0)

    def _editor(self, key: str) -> Pin | None:
        return editor(key, self._pins, self._taken_back, self._vouched)

    def _counts(self, key: str) -> bool:
        is_vouched = key in self._vouched and key not in self._pins.distrusted
        return is_vouched or self._is_pinned(key)

    def _is_pinned(self, key: str) -> bool:
        return is_pinned(key, self._pins, self._taken_back)

    def _effect(self, one: Statement) -> str | None:
        """Have its effect, or say why it has none."""
        content = one.content
        if content.org != self._org:
            return "it is of another organization"
        signer = self._editor(content.key)
        if signer is None:
            return f"{_who(one)} is not an editor on this node"
        if content.version > self._latest:
            ahead = (content.version - self._latest) // 1_000_000 + limits.MAX_AHEAD
            return f"{_who(one)} dated it {ahead} s ahead of this node's clock"
        if not one.is_signed_by(signer.key):
            return f"the signature of {_who(one)} does not match it"
        self._is_verified = True
        if isinstance(content, Link) and content.role != EDIT:
            return f"it is about the role {line(content.role)}, which this version does not know"
        match one.action:
            case chain.ADD:
                return self._add(one)
            case chain.REMOVE:
                return self._remove(one.subject, content.key)
            case chain.CHECKPOINT:
                self.is_bridged = self.is_bridged or self._is_pinned(content.key)
                return None
            case _:
                return f"it says {line(one.action)}, which this version does not know"

    def _add(self, one: Statement) -> str | None:
        content = one.content
        try:
            chain.added_key(one)
        except ValueError as error:
            return str(error)
        if one.subject == content.key:
            return "nobody vouches for himself"
        by = self._vouchers.get(one.subject, ())
        if content.key not in by and len(by) >= MAX_VOUCHERS:
            return f"more than {MAX_VOUCHERS} keys vouch for that key"
        if one.subject not in self._vouched and len(self._vouched) >= MAX_EDITORS:
            return f"more than {MAX_EDITORS} keys are vouched for"
        self._vouch(one.subject, content)
        return None

    def _vouch(self, key: str, content: Link | EditorStatement) -> None:
        self._vouched[key] = Vouched(content.editor, content.modulus, content.exponent)
        by = self._vouchers.get(key, ())
        self._vouchers[key] = tuple(dict.fromkeys((*by, content.key)))

    def _remove(self, key: str, by: str) -> str | None:
        was_vouched = self._vouched.pop(key, None) is not None
        if was_vouched:
            self._forget_wish_of(key)
        if not self._is_pinned(key):
            return None if was_vouched else "the key is not an editor's on this node"
        if by == key:
            self._revoke(key)
            return None
        if not self._is_pinned(by):
            return None if was_vouched else "a pinned key is taken back by pinned ones only"
        asked = tuple(dict.fromkeys((*self._asked.get(key, ()), by)))
        if any(self._are_independent(by, other, key) for other in asked):
            self._revoke(key)
            return None
        self._asked[key] = asked
        if was_vouched:
            return None
        return "a second pinned key, of another name and independent, has to take it back as well"

    def _revoke(self, key: str) -> None:
        self._taken_back[key] = None
        self._asked.pop(key, None)
        self._forget_wish_of(key)

    def _forget_wish_of(self, key: str) -> None:
        if self._is_pinned(key):
            return
        asked = {of: tuple(by for by in who if by != key) for of, who in self._asked.items()}
        self._asked = {of: who for of, who in asked.items() if who}

    def _are_independent(self, one: str, other: str, of: str) -> bool:
        """Whether two pinned keys are of different names, and neither comes from the other.

        Args:
            of: the key that they take back: what it vouched for must not protect it.
        """
        if not self._is_pinned(one) or not self._is_pinned(other):
            return False
        trusted = self._pins.trusted
        return (
            trusted[one].name != trusted[other].name
            and one not in self._origins(other, of)
            and other not in self._origins(one, of)
        )

    def _origins(self, key: str, without: str) -> set[str]:
        """All who vouched for the key, directly or through others but this one."""
        found: set[str] = {without}
        waiting = [key]
        while waiting:
            for by in self._vouchers.get(waiting.pop(), ()):
                if by not in found:
                    found.add(by)
                    waiting.append(by)
        return found


def line(text: str) -> str:
    """A name for a line of text, whatever is in it."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST_NAME])


def _who(one: Statement) -> str:
    return line(one.content.signer)
