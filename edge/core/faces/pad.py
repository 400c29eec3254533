"""Presentation attack detection: live probabilities over a track into one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Presentation(str, Enum):
    """What stands before the camera, as far as the evidence goes."""

    BONA_FIDE = "bona-fide"
    ATTACK = "attack"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class PadRules:
    """`frames` are averaged before anything is called; a mean below `min_live` is an attack."""

    frames: int = 5
    min_live: float = 0.5


def judge(live: Sequence[float], rules: PadRules) -> Presentation:
    """The verdict over the newest `rules.frames` live probabilities (0..1) of one track.

    Fail secure: undecided is not bona fide. The newest frame must look live by itself as well:
    a live face must not lend its evidence to a photo that is held up next.
    """
    if len(live) < rules.frames:
        return Presentation.UNDECIDED
    newest = live[-rules.frames :]
    mean = sum(newest) / len(newest)
    if not mean >= rules.min_live:
        return Presentation.ATTACK
    return Presentation.BONA_FIDE if newest[-1] >= rules.min_live else Presentation.UNDECIDED
