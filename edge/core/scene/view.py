"""What the camera has in view, against a slowly learned picture of it: covered, or another view."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ostiary.edge.core.scene.sampling import COLUMNS, ROWS
from ostiary.edge.core.types import Floats

AROUND = 5
"""The side of the square, in cells, whose mean is taken off each cell: light that changes slowly
over the picture goes with it, and so does what is left of a scene behind tape or a hand."""
MOST = 0.3
"""Differences are cut off here, in natural logarithms: a lamp must not speak for the whole."""
TILES = 4
"""The picture is compared in TILES x TILES tiles. The median tile counts, so that people who cover
less than half of the view change nothing."""
PLAIN = 0.5
"""A tile with less than this part of the mean detail is left out: a bare wall looks like any."""
PLAINEST = 0.025
"""The least detail of a learned view, as a root mean square of logarithms, that can be missed:
before a blank wall a covered lens looks like an open one."""
SETTLES = 4.0
"""After so many times its length a mean has forgotten how it began."""
TINY = 1e-6


@dataclass(frozen=True, slots=True)
class ViewRules:
    """When the lens counts as covered, and the camera as moved.

    The mean over `mean_s` seconds is compared every `every_s` seconds with the learned view, which
    is the mean over `learned_s`, known after `known_s`. `likeness` is their correlation, and
    `detail` the part of the learned detail that is left. Covered: a detail below `bare` for
    `covered_s`. Moved: a likeness below `unlike` at a detail of `detailed` for `moved_s`, all of it
    staying as it is: like itself `same_s` ago by `same`. Only what is `like` the learned view is
    learned. Either ends after `over_s` of a detail of `detailed`, or of a likeness of `like`.
    """

    every_s: float = 0.5
    mean_s: float = 1.0
    learned_s: float = 300.0
    known_s: float = 20.0
    bare: float = 0.35
    detailed: float = 0.5
    covered_s: float = 5.0
    unlike: float = 0.4
    like: float = 0.6
    same: float = 0.7
    same_s: float = 15.0
    moved_s: float = 60.0
    over_s: float = 3.0


class SceneView:
    """Learns what the camera has in view. `covered` and `moved` say how it is now, as far as is
    known; both stay False until a view has been learned.

    A new view is never learned in place of the old one, however long it stays: a new
    `SceneView` accepts it.
    """

    def __init__(self, rules: ViewRules | None = None) -> None:
        self._rules = rules or ViewRules()
        self._means: list[Floats] = []
        self._turn = 0
        self._learned = np.zeros((ROWS, COLUMNS // 2), np.float32)
        self._before, self._before_s = self._learned, 0.0
        # The mean square of the learned detail, without the noise.
        self._once = 0.0
        self._began_s = self._learned_s = self._seen_s = self._looked_s = 0.0
        self._stays = False
        self._for_s = {"covered": 0.0, "bared": 0.0, "moved": 0.0, "back": 0.0}
        self.covered = self.moved = False
        self.likeness = self.detail = 1.0

    def look(self, logs: Floats, now: float) -> None:
        """Take the logarithms of a picture's cells, (ROWS, COLUMNS), at `now`, in seconds."""
        logs = (logs[:, 0::2] + logs[:, 1::2]) / np.float32(2)
        if not self._means:
            self._means = [logs.copy(), logs.copy()]
            self._began_s = self._seen_s = self._looked_s = self._before_s = now
            self._before = self._learned = logs
        # Two means, of every other picture each: they have the scene in common and no noise, which
        # would pass for detail in the dark.
        self._turn = 1 - self._turn
        passed_s = min(max(now - self._seen_s, 0.0), 1.0)
        self._seen_s = now
        mean = self._means[self._turn]
        mean += (logs - mean) * _share(2 * passed_s, self._rules.mean_s)
        # Both means began with the same picture, and have its noise in common for a while.
        settled = now - self._began_s >= SETTLES * self._rules.mean_s
        if settled and now - self._looked_s >= self._rules.every_s:
            # A camera that was away for long has not been covered for as long.
            passed_s = min(now - self._looked_s, 2 * self._rules.every_s)
            self._looked_s = now
            self._compare(passed_s, now)

    def _compare(self, passed_s: float, now: float) -> None:
        rules = self._rules
        mean = (self._means[0] + self._means[1]) / np.float32(2)
        seen, known = _details(mean), _details(self._learned)
        common = float(np.mean(_details(self._means[0]) * _details(self._means[1])))
        once = max(self._once, TINY)
        self.detail = float(np.sqrt(max(common, 0.0) / once))
        self.likeness = _likeness(seen, known)
        if now - self._before_s >= rules.same_s:
            self._stays = _likeness(seen, _details(self._before)) >= rules.same
            self._before, self._before_s = mean, now
        fresh = self._learned_s < rules.known_s
        if not fresh and once >= PLAINEST**2:
            self._judge(passed_s)
        if fresh or (self.likeness >= rules.like and self.detail >= rules.detailed):
            self._learned_s += passed_s
            over_s = min(self._learned_s, rules.learned_s)
            share = _share(passed_s, over_s)
            self._learned = self._learned + (mean - self._learned) * share
            self._once += (common - self._once) * float(share)

    def _judge(self, passed_s: float) -> None:
        rules = self._rules
        detailed, like = self.detail >= rules.detailed, self.likeness >= rules.like
        lasts = {
            "covered": self.detail < rules.bare,
            "bared": detailed,
            "moved": self.likeness < rules.unlike and detailed and self._stays,
            "back": like and detailed,
        }
        for name, holds in lasts.items():
            self._for_s[name] = self._for_s[name] + passed_s if holds else 0.0
        if self._for_s["covered"] >= rules.covered_s:
            self.covered = True
        elif self._for_s["bared"] >= rules.over_s:
            self.covered = False
        if self._for_s["moved"] >= rules.moved_s:
            self.moved = True
        elif self._for_s["back"] >= rules.over_s:
            self.moved = False


def _share(passed_s: float, over_s: float) -> np.float32:
    return np.float32(passed_s / (passed_s + over_s) if over_s else 1.0)


def _details(logs: Floats) -> Floats:
    rest = logs - cv2.blur(logs, (AROUND, AROUND))
    return np.asarray(np.clip(rest, -MOST, MOST))


def _tiled(details: Floats) -> Floats:
    """Details (ROWS, COLUMNS / 2) as one row of cells for each tile."""
    rows, columns = details.shape[0] // TILES, details.shape[1] // TILES
    tiles = details.reshape(TILES, rows, TILES, columns).swapaxes(1, 2)
    return tiles.reshape(TILES * TILES, rows * columns)


def _likeness(seen: Floats, known: Floats) -> float:
    """The correlation, -1 to 1, of the median of the tiles in which something was known."""
    one, other = _tiled(seen), _tiled(known)
    detail = np.abs(other).mean(axis=1)
    chosen = detail >= PLAIN * detail.mean()
    one, other = one[chosen], other[chosen]
    product = (one * other).sum(axis=1)
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return float(np.median(product / np.maximum(size, TINY)))
