"""Whether a face is upright, and whether the camera hangs as the faces before it say."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats

DEGREES = (0, 90, 180, 270)
"""The turns, in degrees clockwise, one of which shows a face upright."""
LANDMARKS = 136
"""The values that the landmark model gives for a face: 68 points, x and y in 0..1 of the box."""
NONE = float("-inf")
"""How upright a face looks that was not found."""


@dataclass(frozen=True, slots=True, eq=False)
class UprightHead:
    """A logistic regression on the landmark model's raw output, `weights` (136,) float64.

    The landmark model gives the points of an upright face whatever it is shown, but on a face that
    lies on its side or head they come out in a form that no upright face has.
    """

    weights: NDArray[np.float64]
    bias: float

    def uprightness(self, landmarks: Floats) -> float:
        """How upright a face looks, from its landmarks (136,): 0 or more is upright.

        The unit is the logit's; NaN if a landmark is.
        """
        return float(landmarks.astype(np.float64) @ self.weights + self.bias)


def is_upright(uprightness: float | None) -> bool:
    """Whether a face is upright enough to be compared; None, if nothing was asked, is enough.

    Written so that NaN is refused.
    """
    return uprightness is None or uprightness >= 0


def best_turn(looks: Sequence[float], lead: float) -> int | None:
    """The turn, of `DEGREES`, that shows the face upright; None if no turn clearly does.

    `looks` is how upright the face looks in each of the four turns, `NONE` where none was found.
    The best turn must be upright, and lead the second best by `lead`.
    """
    known = [NONE if math.isnan(look) else look for look in looks]
    order = sorted(range(len(known)), key=lambda turn: -known[turn])
    best, second = known[order[0]], known[order[1]]
    clear = best >= 0 and (second == NONE or best - second >= lead)
    return DEGREES[order[0]] if clear else None


@dataclass(frozen=True, slots=True)
class HangRules:
    """When the camera counts as turned.

    Faces are looked at every `every_s` seconds at most. The camera is turned if of the newest
    `window` looks at least `agree` call for the same turn, and upright again after `back` looks in
    a row that show an upright face.
    """

    every_s: float = 0.5
    window: int = 8
    agree: int = 7
    back: int = 3


class CameraHang:
    """Follows how the camera hangs. `turn` is by how many degrees clockwise its picture would have
    to be turned; 0 if it is upright, as far as is known.

    Somebody who lies on the floor, or holds a photo upside down, can look like a turned camera if
    nobody else is there: then the next upright face ends it, after `back` looks.
    """

    def __init__(self, rules: HangRules | None = None) -> None:
        self._rules = rules or HangRules()
        self._looks: deque[int] = deque(maxlen=self._rules.window)
        self._looked_s: float | None = None
        self.turn = 0

    def due(self, now: float) -> bool:
        """Whether it is time to look at the faces again; `now` is monotonic seconds."""
        last = self._looked_s
        # A clock that goes back, as that of a recording may, must not end the looking.
        return last is None or not 0 <= now - last < self._rules.every_s

    def look(self, turn: int | None, now: float) -> None:
        """Note by how many degrees the faces seen at `now` are turned; None if that is unclear."""
        self._looked_s = now
        if turn is not None:
            self._looks.append(turn)
            self.turn = self._judged()

    def _judged(self) -> int:
        newest = list(self._looks)
        if self.turn and newest[-self._rules.back :] == [0] * self._rules.back:
            self._looks.clear()
            return 0
        for turn in DEGREES[1:]:
            if newest.count(turn) >= self._rules.agree:
                return turn
        return self.turn
