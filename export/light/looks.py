"""Shows spoilt photos to the models of a door, and keeps what they make of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ostiary.edge.adapters.photos import is_photo, read_photo
from ostiary.edge.core.faces import quality
from ostiary.edge.core.faces.quality import Limits, Quality
from ostiary.edge.core.types import Face, Floats, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import each_photo
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.faces.crops import inside, photo_id
from ostiary.export.light.spoilt import FURTHER, KINDS, Spoiling

MOST_PEOPLE = 400
"""The most people that are looked at: their photos are spoilt in some seventy ways each."""
MOST_PHOTOS = 6
"""Photos of one person that are looked at as they are; one of them is spoilt too."""
ASTRAY = 0.5
"""A face is another one, or none, if its points lie so far from those of the photo as it is, in
distances between the eyes."""
LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class SpoiltLook:
    """What the models found in one spoilt photo: no `measured` and no `probe` if no face."""

    kind: str
    grade: float
    measured: Quality | None = None
    probe: Floats | None = None
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SeenPerson:
    """A template (dim,) of a good photo, and looks at other photos. `tone` is the individual
    typology angle of the skin in degrees, the median over the photos: the lower, the darker."""

    name: str
    template: Floats
    looks: list[SpoiltLook]
    tone: float


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """A photo as it is."""

    image: Image
    face: Face
    aligned: Image
    measured: Quality
    failed: tuple[str, ...]


def people_in(
    faces: Path, wrong: frozenset[str] = frozenset(), most: int = MOST_PEOPLE
) -> list[list[Path]]:
    """The photos of each person with two or more, of at most `most` people; photos with an id in
    `wrong` are left out. Raises PhotoError if there are too few."""
    if not faces.is_dir():
        raise PhotoError(f"there is no folder {faces}", "give a folder with a subfolder a person")
    found: dict[str, list[Path]] = {}
    for path in inside(faces):
        if is_photo(path) and photo_id(path) not in wrong:
            found.setdefault(path.parent.name, []).append(path)
    several = [photos[:MOST_PHOTOS] for photos in found.values() if len(photos) > 1]
    if len(several) < 2:
        raise PhotoError(
            f"{faces} shows {len(several)} people on two photos or more",
            "give two photos or more of each person",
        )
    step = max(len(several) / most, 1.0)
    return [several[int(at * step)] for at in range(min(len(several), most))]


def look_at(
    bundle: Bundle,
    people: Sequence[list[Path]],
    done: Callable[[int, int], None] = lambda done, total: None,
    kinds: Sequence[Spoiling] = KINDS,
) -> list[SeenPerson]:
    """Show every person's photos; who has no two usable ones is left out. Raises PhotoError."""
    items = list(enumerate(people))
    found = each_photo(bundle, items, lambda p, item: _person(p, *item, kinds), done=done)
    seen = [person for person in found if person is not None]
    if len(seen) < 2:
        raise PhotoError("fewer than two people have a good photo and another one")
    return seen


def _person(
    pipeline: Pipeline, number: int, photos: list[Path], kinds: Sequence[Spoiling]
) -> SeenPerson | None:
    shown = [one for one in (_shown(pipeline, photo) for photo in photos) if one is not None]
    good = next((one for one in shown if not _unfit_for_template(one)), None)
    others = [one for one in shown if one is not good]
    if good is None or not others:
        return None
    looks = [_look(pipeline, FURTHER, 0.0, one) for one in others[1:]]
    rng = np.random.default_rng(number)
    for kind in kinds:
        for grade in kind.grades:
            picture = kind.spoil(others[0].image, others[0].face, grade, rng)
            looks.append(_spoilt(pipeline, kind.name, grade, picture, others[0]))
    tone = float(np.median([tone_of(one.aligned) for one in shown]))
    return SeenPerson(photos[0].parent.name, pipeline.embed(good.aligned), looks, tone)


def _shown(pipeline: Pipeline, photo: Path) -> _Shown | None:
    """None for a photo that cannot be read, or shows no upright face."""
    try:
        image = read_photo(photo)
    except PhotoError:
        return None
    faces = pipeline.find(image)
    if not faces:
        return None
    aligned = pipeline.align(image, faces[0])
    measured = pipeline.quality(faces[0], aligned)
    failed = quality.failures(measured, LIMITS)
    if quality.NOT_UPRIGHT in failed:
        return None
    return _Shown(image, faces[0], aligned, measured, failed)


def _unfit_for_template(shown: _Shown) -> bool:
    return bool(quality.failures(shown.measured, quality.for_template(LIMITS)))


def _look(pipeline: Pipeline, kind: str, grade: float, shown: _Shown) -> SpoiltLook:
    return SpoiltLook(kind, grade, shown.measured, pipeline.probe(shown.aligned), shown.failed)


def _spoilt(
    pipeline: Pipeline, kind: str, grade: float, picture: Image, before: _Shown
) -> SpoiltLook:
    scale = picture.shape[1] / before.image.shape[1]
    for face in pipeline.find(picture):
        if _apart(face, before.face, scale) < ASTRAY:
            aligned = pipeline.align(picture, face)
            measured = pipeline.quality(face, aligned)
            failed = quality.failures(measured, LIMITS)
            return SpoiltLook(kind, grade, measured, pipeline.probe(aligned), failed)
    return SpoiltLook(kind, grade)


def _apart(face: Face, before: Face, scale: float) -> float:
    """How far the points of a face have moved, in distances between the eyes."""
    moved = np.linalg.norm(face.points_px / scale - before.points_px, axis=1).mean()
    eyes = np.linalg.norm(before.points_px[1] - before.points_px[0])
    return float(moved / max(float(eyes), 1.0))


def tone_of(aligned: Image) -> float:
    """The individual typology angle of the skin in an aligned crop, in degrees (Chardon 1991).

    Of the pixels between eyes and mouth those of middle lightness count: no nostril and no glint.
    """
    height, width = aligned.shape[:2]
    skin = aligned[int(0.5 * height) : int(0.75 * height), int(0.25 * width) : int(0.75 * width)]
    lab = cv2.cvtColor(skin.astype(np.float32) / 255, cv2.COLOR_BGR2LAB).reshape(-1, 3)
    low, high = np.percentile(lab[:, 0], [25, 75])
    light, _, yellow = lab[(lab[:, 0] >= low) & (lab[:, 0] <= high)].mean(0)
    return float(np.degrees(np.arctan2(light - 50, max(float(yellow), 1.0))))
