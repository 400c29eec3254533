"""What policy decides from: the evidence of a frame, a claim, or only that time passes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ostiary.edge.core.faces.pad import Presentation
from ostiary.edge.core.types import Candidate, Reason


class Mode(str, Enum):
    """1:K against the gallery, or 1:1 against a claimed subject."""

    IDENTIFY = "identify"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one frame shows of one track.

    `candidates` are best first, from the fused probe (in verify mode the claimed subject only);
    empty where the frame had `failures` or the gallery is empty. `barred` is why the best of them
    may not pass here and now, although recognised; see `edge.core.rules.access`. Where the claimed
    subject must also convince a logistic head, `least_probability` is how much.
    """

    track: int
    tau: float
    k: int
    failures: tuple[str, ...] = ()
    presentation: Presentation = Presentation.UNDECIDED
    candidates: tuple[Candidate, ...] = ()
    barred: Reason | None = None
    least_probability: float | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A card or keypad says who stands there; `enrolled` is whether the gallery knows them.

    `subject` is None where what was read can be nobody's id.
    """

    subject: str | None
    enrolled: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes; nothing else was seen."""


Event = Evidence | Claim | Tick
