"""All that is asked of a live camera: do its pictures recur, is it covered, has it moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ostiary.edge.core.scene.recurring import Recurrence
from ostiary.edge.core.scene.repeats import LIT_SHARE, STILL_SHARE, Repeats, StandingStill, lit
from ostiary.edge.core.scene.sampling import Cells, Sampler, logs, sampled
from ostiary.edge.core.scene.view import SceneView
from ostiary.edge.core.types import Image

LOOPED, COVERED, MOVED = "looped", "covered", "moved"
STILL_TIMES = 3.0
"""A picture that stands still but for some pixels counts as looped after so many times `frozen_s`,
within which every encoder sends a whole picture."""
RECURS_S = 2.0
"""Seconds for which pictures must be found to recur."""
LIVE_S = 30.0
"""Seconds without a sign of a loop after which a stream counts as live again: whoever switches
between a loop and a recording must not have the door open in between."""
DARK = 40
"""The mean grey level up to which a picture without detail is called dark."""


@dataclass(frozen=True, slots=True)
class SceneChange:
    """A fault, `LOOPED`, `COVERED` or `MOVED`, that begins, for the reason `why`, or is over."""

    fault: str
    begins: bool
    why: str = ""


class SceneWatch:
    """Looks at every picture of a live source, whose time is given. `faults` are those there are
    now, in the order of the alphabet."""

    def __init__(self, frozen_s: float) -> None:
        """`frozen_s` 0: a picture that stands still is no fault."""
        self._sampler, self._repeats = Sampler(), Repeats()
        self._still = StandingStill(STILL_TIMES * frozen_s)
        self._recurrence, self._view = Recurrence(), SceneView()
        self._for_s = STILL_TIMES * frozen_s
        self._recurs_since_s: float | None = None
        self._sign_s = 0.0
        self.faults: tuple[str, ...] = ()
        self.again = False

    def look(self, image: Image, now: float, seen: Image | None = None) -> list[SceneChange]:
        """What has changed with an image (height, width, 3) at `now`, in seconds.

        `seen` are the pixels sampled from it, if known. `again` says afterwards whether the image
        was there before; give none that is the same as the last.
        """
        seen = sampled(image) if seen is None else seen
        cells = self._sampler.cells(image)
        in_logs = logs(cells)
        self._recurrence.look(in_logs, now)
        self._view.look(in_logs, now)
        sign = self._sign_of_a_loop(seen, now)
        if sign:
            self._sign_s = now
        looped = bool(sign) or (LOOPED in self.faults and now - self._sign_s < LIVE_S)
        states = {LOOPED: looped, COVERED: self._view.covered, MOVED: self._view.moved}
        changed = [
            fault for fault, is_there in states.items() if is_there != (fault in self.faults)
        ]
        if changed:
            self.faults = tuple(sorted(fault for fault, is_there in states.items() if is_there))
        return [
            SceneChange(fault, states[fault], self._why(fault, sign, cells)) for fault in changed
        ]

    def _why(self, fault: str, sign: str, cells: Cells) -> str:
        """Why a fault begins; nobody asks why it ends."""
        if fault == LOOPED:
            return sign
        if fault == MOVED:
            return "the view is not the one that was learned"
        return f"{'dark' if np.mean(cells) <= DARK else 'lit'}, without the detail that it had"

    def _sign_of_a_loop(self, seen: Image, now: float) -> str:
        """Why the pictures are no live ones; empty if nothing says so."""
        self.again = self._repeats.again(seen.tobytes(), now)
        still = self._still.look(seen, now)
        if self.again and self._repeats.repeating and lit(seen).mean() >= LIT_SHARE:
            return "pictures come again that were shown before"
        if still is not None and still >= STILL_SHARE:
            return f"{still:.0%} of the picture has stood still for {self._for_s:.0f} s"
        lag_s = self._recurrence.lag_s
        if lag_s is None:
            self._recurs_since_s = None
        elif self._recurs_since_s is None:
            self._recurs_since_s = now
        elif now - self._recurs_since_s >= RECURS_S:
            return f"the noise of the pictures recurs after {lag_s:.1f} s"
        return ""
