"""Presentation attack detection: one verdict from the live probabilities of a track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Presentation(str, Enum):
    """What is in front of the camera, by the frames so far."""

    BONA_FIDE = "bona-fide"
    ATTACK = "attack"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class PadRules:
    """A verdict needs `frames` frames; if their mean is below `min_live`, it is an attack."""

    frames: int = 5
    min_live: float = 0.5


def judge(live: Sequence[float], rules: PadRules) -> Presentation:
    """The verdict over the newest `rules.frames` live probabilities (0..1) of one track.

    Undecided does not count as bona fide. The newest frame alone must look live too: otherwise a
    photo held up after a live face would pass on that face's frames.
    """
    if len(live) < rules.frames:
        return Presentation.UNDECIDED
    newest = live[-rules.frames :]
    mean = sum(newest) / len(newest)
    if not mean >= rules.min_live:
        return Presentation.ATTACK
    return Presentation.BONA_FIDE if newest[-1] >= rules.min_live else Presentation.UNDECIDED
