"""Stays before a door: photos of a person one after the other, seen by its observer and policy.

Each photo is shown for a while with small changes from frame to frame, in place of video. The
models run once for each changed photo, and the door's own observer and policy see the looks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ostiary.edge.adapters.photos import is_photo, read_photo
from ostiary.edge.cli.console import progress
from ostiary.edge.config import Config
from ostiary.edge.core.faces import quality
from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.faces.quality import Quality
from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.evidence import Tick
from ostiary.edge.core.types import Decision, Face, Floats, Frame, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.vision.observer import Observer, open_enrolled
from ostiary.edge.vision.pipeline import Pipeline

SHOWN_S = 1.0
"""Seconds that one photo is shown before the next of the same person."""
CHANGES = 5
"""Changed copies of each photo: shifted, scaled, in another light, with noise."""
MOST_PHOTOS = 8
"""Photos of one person that are used."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What the models found in one picture of a person."""

    face: Face
    measured: Quality
    probe: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Visitor:
    """One person: a template (dim,) of the first photo, and looks by photo."""

    name: str
    template: Floats
    photos: list[list[Look]]


class Shown:
    """The pipeline of a door that is shown looks: `image[0, 0, 0]` numbers the look."""

    def __init__(self, pipeline: Pipeline, looks: Sequence[Look]) -> None:
        self._pipeline, self._looks = pipeline, looks
        self.bundle = pipeline.bundle
        self.curve, self.curves, self.head = pipeline.curve, pipeline.curves, pipeline.head

    def boxes(self, image: Image) -> list[Found]:
        """The one face in the picture."""
        face = self._looks[int(image[0, 0, 0])].face
        return [(face.box_px, face.score)]

    def faces(self, image: Image, found: Sequence[Found]) -> list[Face]:
        """The face of the look."""
        return [self._looks[int(image[0, 0, 0])].face for _ in found]

    def find(self, image: Image) -> list[Face]:
        """The face of the look, however the picture is turned: it was upright in its photo."""
        return self.faces(image, self.boxes(image))

    def align(self, image: Image, _face: Face) -> Image:
        """The picture: it stands for its look."""
        return image

    def quality(self, _face: Face, aligned: Image) -> Quality:
        """The measures of the look."""
        return self._looks[int(aligned[0, 0, 0])].measured

    def probe(self, aligned: Image) -> Floats:
        """The embedding (dim,) of the look."""
        return self._looks[int(aligned[0, 0, 0])].probe


def changed(image: Image, rng: np.random.Generator) -> Image:
    """A picture as the next frame might show it."""
    height, width = image.shape[:2]
    turn, scale = rng.normal(0, 2.0), rng.uniform(0.94, 1.06)
    about = np.array(cv2.getRotationMatrix2D((width / 2, height / 2), turn, scale), np.float64)
    about[:, 2] += rng.normal(0, 3.0, 2)
    moved = cv2.warpAffine(image, about, (width, height), borderMode=cv2.BORDER_REPLICATE)
    noisy = moved * rng.uniform(0.85, 1.15) + rng.normal(0, 3.0, moved.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def look(pipeline: Pipeline, image: Image) -> Look | None:
    """What the models find in a picture; None without a face."""
    faces = pipeline.find(image)
    if not faces:
        return None
    aligned = pipeline.align(image, faces[0])
    return Look(faces[0], pipeline.quality(faces[0], aligned), pipeline.probe(aligned))


def read_people(
    pipeline: Pipeline, config: Config, folder: Path, most: int, seed: int
) -> list[Visitor]:
    """Up to `most` people of a folder, those with the most photos first. Raises PhotoError."""
    found = {p: sorted(f for f in p.iterdir() if is_photo(f)) for p in folder.iterdir()}
    rng = np.random.default_rng(seed)
    chosen = sorted(found, key=lambda p: (-min(len(found[p]), MOST_PHOTOS), p.name))[:most]
    people = []
    bar, done = progress("looking at people")
    with bar:
        for number, person in enumerate(chosen):
            made = [_photo(pipeline, config, f, rng) for f in found[person][:MOST_PHOTOS]]
            usable = [one for one in made if one is not None]
            if usable:
                looks = [one for _, one in usable]
                people.append(Visitor(person.name, usable[0][0], looks))
            done(number + 1, len(chosen))
    if len(people) < 2:
        raise PhotoError(f"{folder} shows fewer than two people", "give photos in a folder each")
    return people


def _photo(
    pipeline: Pipeline, config: Config, file: Path, rng: np.random.Generator
) -> tuple[Floats, list[Look]] | None:
    image = read_photo(file)
    faces = pipeline.find(image)
    if not faces:
        return None
    aligned = pipeline.align(image, faces[0])
    strict = quality.for_template(config.limits())
    if quality.failures(pipeline.quality(faces[0], aligned), strict):
        return None
    looks = [look(pipeline, changed(image, rng)) for _ in range(CHANGES)]
    seen = [one for one in looks if one is not None]
    return (pipeline.embed(aligned), seen) if seen else None


@dataclass(frozen=True, slots=True)
class Stay:
    """How somebody stands before the door: for `seconds`, and away for `away_s` each `each_s`."""

    name: str
    seconds: float
    each_s: float = 0.0
    away_s: float = 0.0


STAYS = (
    Stay("1 s", 1.0),
    Stay("5 s", 5.0),
    Stay("30 s", 30.0),
    Stay("5 min", 300.0),
    Stay("comes and goes, 60 s", 60.0, each_s=2.0, away_s=3.0),
)


class WatchedDoor:
    """One door with enrolled people, that tells what it decides of a stay."""

    def __init__(
        self, pipeline: Pipeline, config: Config, enrolled: Sequence[Visitor], fps: float
    ) -> None:
        self._pipeline, self._config, self._fps = pipeline, config, fps
        self._enrolled = open_enrolled(pipeline, config)
        self._enrolled.load([(p.name, p.template[None], 1) for p in enrolled])

    @property
    def tau(self) -> float:
        """tau for a visit."""
        return self._enrolled.tau.tau

    def decisions(
        self, photos: Sequence[Sequence[Look]], stay: Stay, rng: np.random.Generator
    ) -> Iterator[tuple[float, Decision]]:
        """The decisions of a stay, with the seconds since it began."""
        looks = [one for photo in photos for one in photo]
        first = [sum(map(len, photos[:at])) for at in range(len(photos))]
        shown: Any = Shown(self._pipeline, looks)
        observer = Observer(shown, self._config, self._enrolled)
        rules, state = self._config.rules(), policy.State()
        image = np.zeros((1, 1, 3), np.uint8)
        for frame in range(max(int(stay.seconds * self._fps), 1)):
            now = frame / self._fps
            turn = now % (stay.each_s + stay.away_s) if stay.each_s else 0.0
            if stay.each_s and turn >= stay.each_s:
                state, decision = policy.step(rules, state, Tick(), now)
            else:
                photo = int(now / SHOWN_S) % len(photos)
                image[0, 0, 0] = first[photo] + int(rng.integers(len(photos[photo])))
                (seen,) = observer.observe(Frame(image.copy(), now, frame), None)
                state, decision = policy.step(rules, state, seen.evidence, now)
            if decision is not None:
                yield now, decision
