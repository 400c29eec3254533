"""What policy remembers of a visit and of somebody let in; pure values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ostiary.edge.core.types import Decision, Reason

HOLD_S = 2.0
"""Votes outlive unusable frames for so long: under a pulsed lamp every second frame is dark."""
UNUSABLE = frozenset({Reason.LOW_QUALITY, Reason.COVERED})
"""Reasons of a face without a usable frame; they need the profile's `patience_s`."""
VISIT_S = 60.0
"""A visit that was denied is remembered for so long after its face was last seen."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Readings in a row that point to the same reason and subject."""

    reason: Reason
    subject: str | None
    count: int
    last_s: float


@dataclass(frozen=True, slots=True)
class Denied:
    """A denial of a visit, told once: from when to when it held, and in how many frames.

    `told_s` is when it was last told, `charged_s` when it was last counted towards a lockout.
    """

    first_s: float
    last_s: float
    told_s: float
    charged_s: float
    frames: int = 1


NOTHING_DENIED: MappingProxyType[Reason, Denied] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class VisitEnd:
    """A visit that has ended, and what was denied in it."""

    track: int
    denied: MappingProxyType[Reason, Denied]

    def __str__(self) -> str:
        told = (
            f"{reason.value}: {one.frames} frames in {one.last_s - one.first_s:.0f} s"
            for reason, one in self.denied.items()
        )
        return f"track {self.track}: {', '.join(told)}"


@dataclass(frozen=True, slots=True)
class Remembered:
    """One visit. `unusable_s` is since when no frame of it was usable; of the `unusables` frames
    since then it was covered in `covered`."""

    last_s: float
    unusable_s: float
    tally: Tally | None = None
    denied: MappingProxyType[Reason, Denied] = field(default_factory=lambda: NOTHING_DENIED)
    unusables: int = 0
    covered: int = 0

    @property
    def count(self) -> int:
        """The readings in a row that agree."""
        return 0 if self.tally is None else self.tally.count

    @property
    def why_unusable(self) -> Reason:
        """What to say of a face without a usable frame: what most of its frames showed."""
        return Reason.COVERED if 2 * self.covered > self.unusables else Reason.LOW_QUALITY

    def unusable(self, covered: bool, now: float) -> Remembered:
        """After a frame that says nothing, perhaps since the face is covered: votes are kept for a
        short time."""
        old = self.tally
        kept = old if old is not None and now - old.last_s <= HOLD_S else None
        return replace(
            self,
            last_s=now,
            tally=kept,
            unusables=self.unusables + 1,
            covered=self.covered + covered,
        )

    def undecided(self, now: float) -> Remembered:
        """After a usable frame without a reading: votes must be in a row."""
        return replace(self._usable(now), tally=None)

    def read(self, reason: Reason, subject: str | None, now: float) -> Remembered:
        """After a usable frame with a reading."""
        old = self.tally
        same = old is not None and (old.reason, old.subject) == (reason, subject)
        count = old.count + 1 if same and old is not None else 1
        tally = Tally(reason, subject, count, now)
        again = self.denied.get(reason)
        denied = self.denied
        if again is not None:
            longer = replace(again, last_s=now, frames=again.frames + 1)
            denied = MappingProxyType({**denied, reason: longer})
        return replace(self._usable(now), tally=tally, denied=denied)

    def _usable(self, now: float) -> Remembered:
        return replace(self, last_s=now, unusable_s=now, unusables=0, covered=0)

    def told(self, decision: Decision, now: float) -> Remembered:
        """After a decision on this visit: a denial is told once for each reason.

        After a grant each is told again: somebody who was let in may be revoked while they stand
        there.
        """
        if decision.granted:
            return replace(self, denied=NOTHING_DENIED)
        fresh = Denied(now, now, now, now)
        before = self.denied.get(decision.reason, fresh)
        told = replace(before, told_s=now, charged_s=now)
        return replace(self, denied=MappingProxyType({**self.denied, decision.reason: told}))

    def charged(self, reason: Reason, now: float) -> Remembered:
        """After a denial that goes on was counted once more."""
        again = replace(self.denied[reason], charged_s=now)
        return replace(self, denied=MappingProxyType({**self.denied, reason: again}))

    def is_over(self, now: float, cooldown_s: float) -> bool:
        return now - self.last_s > (VISIT_S if self.denied else cooldown_s)


def unanswered(visits: Collection[Remembered]) -> Reason:
    """Why a claim that has run out is denied: what its frames said, if any was usable."""
    said = [visit.tally for visit in visits if visit.tally is not None]
    doubts = [tally for tally in said if tally.reason is not Reason.MATCHED]
    if doubts:
        return max(doubts, key=lambda tally: tally.last_s).reason
    newest = max(visits, key=lambda visit: visit.last_s, default=None)
    return Reason.LOW_QUALITY if newest is None else newest.why_unusable


@dataclass(frozen=True, slots=True)
class Presence:
    """A subject who was let in and has not left: when the door opened, and when they were seen."""

    opened_s: float
    seen_s: float
    track: int | None
