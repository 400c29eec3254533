"""The input of policy: the evidence of a frame, a claim, or a tick of the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.types import Candidate, Reason


class Mode(str, Enum):
    """1:K against the gallery, or 1:1 against a claimed subject."""

    IDENTIFY = "identify"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one frame shows of one track.

    `candidates` are the subjects closest to the fused probe, best first (in verify mode the claimed
    one only); empty if the frame had quality `failures` or the gallery is empty. `barred` is why
    the best candidate may not pass here and now: see `edge.core.rules.access`. If a logistic head
    is asked too, `least_probability` is the probability that it must give at least. `others` are
    the tracks of the other faces in view; the face is `behind` if one of them is more prominent.
    `cues` are the scores behind `presentation`, by kind of cue.
    """

    track: int
    tau: float
    k: int
    failures: tuple[str, ...] = ()
    presentation: Presentation = Presentation.UNDECIDED
    candidates: tuple[Candidate, ...] = ()
    barred: Reason | None = None
    least_probability: float | None = None
    others: tuple[int, ...] = ()
    behind: bool = False
    cues: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim by card or keypad; `enrolled` says if the gallery has the subject.

    `subject` is None if what was read does not have the form of a subject's id.
    """

    subject: str | None
    enrolled: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A tick of the clock: time has passed, and nothing else happened."""


Event = Evidence | Claim | Tick
