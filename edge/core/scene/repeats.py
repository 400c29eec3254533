"""Pictures that are exactly the same again, and parts of a picture that never change."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Image

REMEMBERED = 4096
"""Pictures that are remembered: a minute at 60 a second."""
JUDGED, MOST_NEW = 30, 3
"""A stream repeats itself if of its newest `JUDGED` pictures at most `MOST_NEW` are new."""
LEAST_S = 2.0
"""Seconds that these pictures must span: a burst after a hitch may hold some twice."""
STILL_SHARE, LIT_SHARE = 0.9, 0.25
"""The share of the pixels that show anything which must stand still for a still picture, and the
share of all pixels that must show anything: black stands still in any camera."""
BLACK, WHITE = 6, 249
"""Grey levels beyond which a pixel may be clipped, and then has no noise."""
LEAST_LOOKS = 10


def lit(seen: Image) -> NDArray[np.bool_]:
    """Which pixels of an image (height, width, 3) are neither black nor white."""
    green = seen[..., 1]
    return np.asarray((green > BLACK) & (green < WHITE))


class Repeats:
    """Knows pictures again of which every sampled pixel is the same."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._order: deque[int] = deque()
        self._newest: deque[tuple[float, bool]] = deque(maxlen=JUDGED)

    def again(self, seen: bytes, now: float) -> bool:
        """Whether a picture was there before, by its sampled pixels. Give no picture that is the
        same as the last one: encoders skip what stands still."""
        print_of = hash(seen)
        known = print_of in self._known
        self._newest.append((now, known))
        if not known:
            self._known.add(print_of)
            self._order.append(print_of)
            if len(self._order) > REMEMBERED:
                self._known.discard(self._order.popleft())
        return known

    @property
    def repeating(self) -> bool:
        """Whether hardly any of the newest pictures is new."""
        newest = self._newest
        if len(newest) < JUDGED or newest[-1][0] - newest[0][0] < LEAST_S:
            return False
        return sum(not known for _, known in newest) <= MOST_NEW


class StandingStill:
    """How much of the picture has not changed at all for `for_s` seconds.

    A real picture changes everywhere within a few seconds, because of its noise; and where an
    encoder has left the noise out, at its next whole picture.
    """

    def __init__(self, for_s: float) -> None:
        """`for_s` 0: never asked."""
        self._for_s = for_s
        self._first: Image | None = None
        self._changed: NDArray[np.bool_] | None = None
        self._since_s, self._looks = 0.0, 0

    def look(self, seen: Image, now: float) -> float | None:
        """Take the sampled pixels (height, width, 3) at `now`; every `for_s` seconds the share that
        stood still, of those neither black nor white; else None."""
        if not self._for_s:
            return None
        if self._first is None or self._changed is None or self._first.shape != seen.shape:
            self._begin(seen, now)
            return None
        self._changed |= seen != self._first
        self._looks += 1
        if now - self._since_s < self._for_s or self._looks < LEAST_LOOKS:
            return None
        shown = lit(seen)
        still = (
            float(np.mean(~self._changed[shown].any(axis=1))) if shown.mean() >= LIT_SHARE else 0.0
        )
        self._begin(seen, now)
        return still

    def _begin(self, seen: Image, now: float) -> None:
        self._first, self._since_s, self._looks = seen, now, 0
        self._changed = np.zeros(seen.shape, np.bool_)
