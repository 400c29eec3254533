"""What a fixed camera sees, made by formulas: a corridor in any light, with a sensor's noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from ostiary.edge.core.scene.watch import SceneWatch
from ostiary.edge.core.types import Floats, Image

HEIGHT, WIDTH, FPS = 240, 320, 6
GAMMA = 1 / 2.2
POOL = 4
"""The noise of a picture is a random piece of this many pictures' worth: drawing it each time would
take most of a test's time."""

Over = Callable[[Floats], Floats]
"""What stands between the scene and the lens: light in, light out."""


class Corridor:
    """A corridor with two lamps, and a sensor of so many `electrons` with shot and read noise."""

    def __init__(self, seed: int = 1, electrons: float = 4000.0, read: float = 4.0) -> None:
        self._rng = np.random.default_rng(seed)
        self._electrons, self._read = electrons, read
        y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
        self._x, self._y = x / WIDTH, y / HEIGHT
        self._scene = self._furnished()
        noise = self._rng.normal(0, 1, (POOL * HEIGHT, WIDTH, 3)).astype(np.float32)
        # A sensor's colours are interpolated from neighbours, so noise is no finer than this.
        fine = cv2.GaussianBlur(noise, (0, 0), 0.8)
        self._noise = np.asarray(fine / fine.std(), np.float32).ravel()

    def _furnished(self) -> Floats:
        scene = np.where(self._y > 0.6, 0.25, 0.5) * (0.6 + 0.4 * np.cos(2 * (self._x - 0.4)))
        for _ in range(12):
            (left, top), (wide, high) = (
                self._rng.uniform(0, 0.9, 2),
                self._rng.uniform(0.03, 0.2, 2),
            )
            within = (self._x > left) & (self._x < left + wide)
            within &= (self._y > top) & (self._y < top + high)
            scene[within] *= self._rng.uniform(0.3, 1.6)
        grain = cv2.GaussianBlur(self._rng.normal(0, 1, scene.shape), (0, 0), 1.5)
        scene *= 1 + 0.08 * grain / grain.std()
        tinted = np.clip(scene, 0.005, 1)[..., None] * np.array([0.8, 1, 0.9])
        return np.asarray(tinted, np.float32)

    def light(self, left: float = 0.25, right: float = 0.25) -> Floats:
        """The light at the sensor, 1 fills it, with the two lamps at these strengths."""
        near = 0.3 + 0.7 * np.exp(-4 * ((self._x - 0.2) ** 2 + (self._y - 0.1) ** 2))
        far = 0.3 + 0.7 * np.exp(-4 * ((self._x - 0.8) ** 2 + (self._y - 0.3) ** 2))
        return np.asarray(self._scene * (left * near + right * far)[..., None], np.float32)

    def picture(self, light: Floats) -> Image:
        """One exposure of this light, with new noise."""
        electrons = light * np.float32(self._electrons)
        start = int(self._rng.integers(0, len(self._noise) - light.size))
        noise = self._noise[start : start + light.size].reshape(light.shape)
        electrons = electrons + noise * np.sqrt(electrons + np.float32(self._read**2))
        level = np.clip(electrons / np.float32(self._electrons), 0, 1) ** np.float32(GAMMA)
        return np.asarray(np.rint(level * 255), np.uint8)

    def pictures(self, seconds: float, over: Over | None = None) -> Iterator[Image]:
        """Pictures at `FPS` of the same light, all with their own noise."""
        light = self.light() if over is None else over(self.light())
        for _ in range(round(seconds * FPS)):
            yield self.picture(light)

    def pulsed(self, seconds: float, share: float, fps: int, hz: float = 100.0) -> Iterator[Image]:
        """Pictures at `fps` in lamps whose light swings by `share` at `hz`, each in its phase."""
        for at_s in np.arange(round(seconds * fps)) / fps:
            left, right = (1 + share * np.sin(2 * np.pi * hz * at_s + phase) for phase in (0, 2.1))
            yield self.picture(self.light(0.25 * left, 0.25 * right))

    def walked(self, seconds: float, people: int = 2, step: float = 0.3) -> Iterator[Image]:
        """Pictures at `FPS` while so many people walk about."""
        for at_s in np.arange(round(seconds * FPS)) / FPS:
            light = self.light()
            for number in range(people):
                left = int(WIDTH * (0.42 + 0.42 * np.sin(at_s * step + 2.3 * number)))
                part = light[40:, left : left + WIDTH // 6]
                part[...] = part * 0.1 + 0.03 * (number + 1)
            yield self.picture(light)


def blurred(radius_px: float, through: float = 1.0) -> Over:
    """Tape or spray on the lens, that lets the share `through` of the light pass."""
    return lambda light: np.asarray(cv2.GaussianBlur(light, (0, 0), radius_px) * through)


def hand(light: Floats) -> Floats:
    """A hand on the lens: a little light leaks in from one side."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] / WIDTH
    return np.asarray(np.repeat((0.01 + 0.05 * x + 0.03 * y)[..., None], 3, axis=2), np.float32)


def shifted(right_px: int) -> Over:
    """The camera turned a little: all that it sees moves to the right."""
    return lambda light: np.asarray(np.roll(light, right_px, axis=1))


def as_jpeg(pictures: Iterable[Image], quality: int) -> Iterator[Image]:
    """The same after a JPEG encoder and decoder."""
    for picture in pictures:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        yield np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def denoised(pictures: Iterable[Image], newest: float = 0.15) -> Iterator[Image]:
    """The same after a camera's temporal filter, to which each picture adds this share."""
    mean: Floats | None = None
    for picture in pictures:
        mean = picture.astype(np.float32) if mean is None else mean + (picture - mean) * newest
        yield np.asarray(np.rint(mean), np.uint8)


def found(pictures: Iterable[Image], fps: float = FPS, frozen_s: float = 4.0) -> list[str]:
    """What a `SceneWatch` finds in a stream: `looped`, or `-looped` where it is over."""
    watch, changes, before = SceneWatch(frozen_s), [], b""
    for number, picture in enumerate(pictures):
        if (now := picture.tobytes()) != before:
            changes += watch.look(picture, number / fps)
        before = now
    return [change.fault if change.begins else f"-{change.fault}" for change in changes]
