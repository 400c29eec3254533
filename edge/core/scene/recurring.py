"""Pictures that recur after some time: a sensor's noise is never seen twice, that of a loop is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import simsimd
from numpy.typing import NDArray

from ostiary.edge.core.scene.sampling import COLUMNS, ROWS
from ostiary.edge.core.types import Floats

BITS = ROWS * COLUMNS // 4
"""Bits of a picture's sketch. Every other pair of cells gives one, as on a chessboard."""
NEAR = 3
"""Frames on both sides of a lag within which the likeness of a loop falls: one frame beside it
the noise is another. What changes slowly, as shadows do, is as much alike there."""
NOTHING = 1e-3
_LEFT = np.flatnonzero((np.arange(ROWS)[:, None] + np.arange(COLUMNS) // 2) % 2 == 0)[::2]
"""Where the left cell of each pair that gives a bit lies in the flattened grid."""


@dataclass(frozen=True, slots=True)
class RecurrenceRules:
    """When pictures count as a loop.

    The sketches of `frames` frames are kept, and the newest is compared with them every `every_s`
    seconds. `excess` is how much more alike than by chance pictures are that lie one lag apart: 0
    is chance, 1 the same; its mean is over about `memory` comparisons. Lags below `least_s` seconds
    are left out: the multiples of a shorter cycle lie above.

    A loop needs an excess of `alike` that falls by `falls` beside its lag, and at most the share
    `alone` of all lags may be half as much alike. Lamps that pulse come out alike at every third
    lag or so: where many lags are alike, a loop needs `same`, and a fall of `falls_far`.
    """

    frames: int = 2048
    every_s: float = 0.2
    least_s: float = 1.0
    memory: int = 15
    scene_s: float = 2.0
    bias_s: float = 20.0
    alike: float = 0.7
    falls: float = 0.12
    alone: float = 0.1
    same: float = 0.85
    falls_far: float = 0.4


class Recurrence:
    """Compares each picture with those of the last minute or two, by sketches of their noise.

    A sketch has a bit for every other pair of neighbouring cells: which of both is brighter now
    than it is on average. The scene itself cancels out, and so does light that changes for both
    alike, because logarithms are compared. What is left is noise, an encoder's traces, and what
    moves. Two sketches agree in half of their bits by chance.

    `lag_s` is after how many seconds the pictures recur, a multiple of the shortest; else None.
    """

    def __init__(self, rules: RecurrenceRules | None = None) -> None:
        self._rules = rules or RecurrenceRules()
        self._scene: Floats | None = None
        self._seen_s = self._compared_s = 0.0
        # How often each bit is 1: a bit that seldom changes agrees by chance more often.
        self._ones = np.full(BITS, 0.5, np.float32)
        self._sketches = np.zeros((self._rules.frames, BITS // 8), np.uint8)
        self._times_s = np.zeros(self._rules.frames)
        self._excess = np.zeros(self._rules.frames, np.float32)
        self._count = 0
        self.lag_s: float | None = None

    def look(self, logs: Floats, now: float) -> None:
        """Take the logarithms of a picture's cells, (ROWS, COLUMNS), at `now`, in seconds."""
        sketch = self._sketch(logs, now)
        if now - self._compared_s >= self._rules.every_s and self._count > 2 * NEAR:
            self._compared_s = now
            self._compare(sketch)
            self.lag_s = self._judged(now)
        at = self._count % self._rules.frames
        self._sketches[at], self._times_s[at] = sketch, now
        self._count += 1

    def _sketch(self, logs: Floats, now: float) -> NDArray[np.uint8]:
        if self._scene is None:
            self._scene, self._seen_s = logs.copy(), now
        passed_s = min(max(now - self._seen_s, 0.0), 1.0)
        self._seen_s = now
        rest = logs - self._scene
        self._scene += rest * np.float32(passed_s / (passed_s + self._rules.scene_s))
        flat = rest.reshape(-1)
        bits = flat[_LEFT] > flat[_LEFT + 1]
        self._ones += (bits - self._ones) * np.float32(passed_s / (passed_s + self._rules.bias_s))
        return np.packbits(bits)

    def _compare(self, sketch: NDArray[np.uint8]) -> None:
        """Take in how much the newest sketch and the one of each lag agree, beyond chance."""
        held = min(self._count, self._rules.frames)
        found = simsimd.cdist(sketch[None], self._sketches[:held], metric="hamming", dtype="bin8")
        agree = 1 - np.asarray(found, np.float32)[0] / BITS
        # The newest first: the place in this order is the lag in frames, less one.
        last = (self._count - 1) % self._rules.frames
        by_lag = np.concatenate((agree[last::-1], agree[:last:-1]))
        chance = float(np.mean(self._ones**2 + (1 - self._ones) ** 2))
        excess = (by_lag - chance) / max(1 - chance, NOTHING)
        known = self._excess[:held]
        known += (excess - known) / np.float32(self._rules.memory)

    def _judged(self, now: float) -> float | None:
        rules, held = self._rules, min(self._count, self._rules.frames)
        length_s = now - self._times_s[(self._count - held) % rules.frames]
        least = max(NEAR, int(rules.least_s * held / length_s) if length_s > 0 else held)
        excess = self._excess[least - NEAR : held]
        if len(excess) <= 2 * NEAR:
            return None
        at = NEAR + int(np.argmax(excess[NEAR:-NEAR]))
        peak = float(excess[at])
        beside = max(excess[at - NEAR : at].min(), excess[at + 1 : at + 1 + NEAR].min())
        alone = float(np.mean(excess > peak / 2)) <= rules.alone
        alike, falls = (rules.alike, rules.falls) if alone else (rules.same, rules.falls_far)
        if peak < alike or peak - beside < falls:
            return None
        lag = least - NEAR + at + 1
        return now - float(self._times_s[(self._count - lag) % rules.frames])
