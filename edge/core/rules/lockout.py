"""Lockout: too many denials of a face or a card, and the answer is `locked-out` for a while.

Without it a stranger could try card after card, each with its own small chance. A face is known by
its visit, so that nothing about it is ever stored; a card is known by its subject.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from ostiary.edge.core.types import Decision, Reason

CHARGED = frozenset({Reason.UNKNOWN, Reason.MISMATCH, Reason.AMBIGUOUS, Reason.ATTACK})
"""The denials that count. An attempt without a usable face does not, nor does a recognised subject
who may not pass now. A card that nobody has counts at the door alone: no face was looked at."""
DOOR = "door"
ANY_FACE = "face"
"""The key of a lock that holds for every face: after a restart no face is known any more."""


@dataclass(frozen=True, slots=True)
class LockoutRules:
    """`failures` denials within `window_s` lock a face or a card for `for_s`; each further lock
    lasts twice as long, up to `most_s`. With 0 `failures` nothing is ever locked."""

    failures: int = 5
    window_s: float = 60.0
    for_s: float = 30.0
    most_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Strikes:
    """The denials of one face, card or door since its last lock, and its newest lock."""

    times_s: tuple[float, ...] = ()
    locks: int = 0
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock that begins: of what, after how many denials here and at the whole door, how long."""

    key: str
    denials: int
    at_the_door: int
    for_s: float

    def __str__(self) -> str:
        return (
            f"{self.key}: {self.denials} denials, locked for {self.for_s:.0f} s;"
            f" {self.at_the_door} denials at this door within the window"
        )


Book = Mapping[str, Strikes]
Stored = tuple[list[float], int, float]
"""Strikes as they are stored: the denials and the end of the lock in seconds from then, and the
number of locks."""
NO_STRIKES: MappingProxyType[str, Strikes] = MappingProxyType({})


def face(track: int) -> str:
    """The key of a face, by its visit."""
    return f"{ANY_FACE}/{track}"


def card(subject: str) -> str:
    """The key of a card, by the subject that it names."""
    return f"card/{subject}"


def is_locked(book: Book, track: int | None, claim: str | None, now: float) -> bool:
    """True while the face or the claimed card is locked out."""
    keys = [] if track is None else [ANY_FACE, face(track)]
    keys += [] if claim is None else [card(claim)]
    return any(now < book[key].until_s for key in keys if key in book)


def after(
    rules: LockoutRules, book: Book, decision: Decision, claim: str | None, now: float
) -> tuple[MappingProxyType[str, Strikes], tuple[Locked, ...]]:
    """The strikes after a decision, and the locks that begin with it.

    A grant clears those of its face and its card.
    """
    keys = [] if decision.track is None else [face(decision.track)]
    keys += [] if not keys or claim is None else [card(claim)]
    if decision.granted:
        return MappingProxyType({k: v for k, v in book.items() if k not in keys}), ()
    if decision.reason not in CHARGED:
        return MappingProxyType(dict(book)), ()
    return charge(rules, book, keys, now)


def charge(
    rules: LockoutRules, book: Book, keys: Sequence[str], now: float
) -> tuple[MappingProxyType[str, Strikes], tuple[Locked, ...]]:
    """The strikes after a denial of some faces and cards, and the locks that begin with it."""
    changed = dict(book)
    changed[DOOR] = _recent(rules, book.get(DOOR, Strikes()), now)
    locked = []
    for key in keys:
        struck = _recent(rules, book.get(key, Strikes()), now)
        if 0 < rules.failures <= len(struck.times_s):
            for_s = min(rules.for_s * 2.0 ** min(struck.locks, 30), rules.most_s)
            at_the_door = len(changed[DOOR].times_s)
            locked.append(Locked(key, len(struck.times_s), at_the_door, for_s))
            struck = Strikes((), struck.locks + 1, now + for_s)
        changed[key] = struck
    return MappingProxyType(changed), tuple(locked)


def kept(rules: LockoutRules, book: Book, now: float) -> MappingProxyType[str, Strikes]:
    """The strikes without those that are past: a lock is remembered as long as the longest lasts,
    so that the next one is longer."""
    return MappingProxyType({key: one for key, one in book.items() if not _past(rules, one, now)})


def _past(rules: LockoutRules, one: Strikes, now: float) -> bool:
    last = one.times_s[-1] if one.times_s else -1e18
    until = one.until_s + rules.most_s if one.locks else -1e18
    return now - last > rules.window_s and now > until


def _recent(rules: LockoutRules, one: Strikes, now: float) -> Strikes:
    """With a denial at `now`, and without those before the window."""
    return replace(one, times_s=(*(t for t in one.times_s if now - t < rules.window_s), now))


def faces(book: Book) -> dict[int, float]:
    """Until when each face is locked, by track; those that never were are left out."""
    prefix = f"{ANY_FACE}/"
    return {
        int(key.removeprefix(prefix)): one.until_s
        for key, one in book.items()
        if key.startswith(prefix) and one.locks
    }


def stored(book: Book, now: float) -> dict[str, Stored]:
    """What a restart needs, with times as seconds from `now`: cards and the door by name, and of
    the faces only until when the longest lock lasts."""
    found = {
        key: ([t - now for t in one.times_s], one.locks, one.until_s - now)
        for key, one in book.items()
        if not key.startswith(f"{ANY_FACE}/")
    }
    locked = [one for key, one in book.items() if key.startswith(ANY_FACE) and one.until_s > now]
    if locked:
        longest = max(locked, key=lambda one: one.until_s)
        found[ANY_FACE] = ([], longest.locks, longest.until_s - now)
    return found


def restored(
    rules: LockoutRules,
    held: Mapping[str, Stored],
    ago_s: float,
    now: float,
) -> MappingProxyType[str, Strikes]:
    """The strikes that were `stored` `ago_s` before `now`.

    A clock that was set back makes `ago_s` negative: it then counts as no time, and no lock lasts
    longer than the longest.
    """
    past = max(ago_s, 0.0)
    return MappingProxyType(
        {
            key: Strikes(
                tuple(now + t - past for t in times), locks, now + min(left, rules.most_s) - past
            )
            for key, (times, locks, left) in held.items()
        }
    )
