"""What the covered head is fitted on: bare faces, and the same faces with drawn covers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces import geometry
from ostiary.edge.core.faces.covered import seen
from ostiary.edge.core.types import Face, Floats, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import each_photo
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.covered.covers import COVERS, HARMLESS, Draw
from ostiary.export.covered.drawing import sheet
from ostiary.export.covered.varied import varied
from ostiary.export.upright.looks import photos_in

BARE = "bare"
COVERED_VIEWS, VARIED_VIEWS = 3, 2
"""Covers drawn on each photo, and crops of each view in another light beside the crop as it is."""
UNDER = 0.15
"""The share of covers that are drawn over glasses or a beard."""
LEAST_IOU = 0.3
"""The least overlap of a face's box before and after the drawing: else it is another face."""
MOST_PX = 400
"""The longer side of a photo that is drawn on; larger ones are made smaller."""


@dataclass(frozen=True, slots=True, eq=False)
class CoverLooks:
    """Faces as the covered head sees them.

    `pictures` (n, 56, 56, 3) are BGR; `kind` (n,) names what is drawn on each, or `BARE`; `person`
    (n,) is an index; `plain` (n,) marks crops in the light of the photo.
    """

    pictures: Image
    kind: NDArray[np.str_]
    person: NDArray[np.int64]
    plain: NDArray[np.bool_]
    people: int
    photos: int

    @property
    def covered(self) -> NDArray[np.bool_]:
        """(n,): whether a cover is drawn."""
        return np.isin(self.kind, list(COVERS))

    def only(self, rows: NDArray[np.bool_]) -> CoverLooks:
        """The looks of these rows; the counts stay."""
        return CoverLooks(
            self.pictures[rows],
            self.kind[rows],
            self.person[rows],
            self.plain[rows],
            self.people,
            self.photos,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    picture: Image
    kind: str
    plain: bool


def read_looks(bundle: Bundle, faces: Path, done: Callable[[int, int], None]) -> CoverLooks:
    """The looks of a folder with one subfolder of photos of bare faces per person.

    Raises PhotoError if the folder has photos of fewer than two people. Photos that cannot be read
    are skipped.
    """
    files = photos_in(faces)
    people = {name: i for i, name in enumerate(sorted({f.parent.name for f in files}))}
    found = each_photo(bundle.in_float(), list(enumerate(files)), _looks_of, done=done)
    rows = [(look, number) for number, photo in enumerate(found) for look in photo]
    if not rows:
        raise PhotoError(f"no face in any of the {len(files)} photos of {faces}")
    return CoverLooks(
        np.stack([look.picture for look, _ in rows]),
        np.array([look.kind for look, _ in rows]),
        np.array([people[files[number].parent.name] for _, number in rows]),
        np.array([look.plain for look, _ in rows]),
        len(people),
        len(files),
    )


def _looks_of(pipeline: Pipeline, item: tuple[int, Path]) -> list[_Look]:
    number, file = item
    rng = np.random.default_rng(number)
    found = []
    for kind, photo, face in views(pipeline, file, rng, COVERED_VIEWS):
        if face is None:
            continue
        crop = pipeline.align(photo, face)
        found.append(_Look(seen(crop), kind, plain=True))
        found += [_Look(seen(varied(crop, rng)), kind, plain=False) for _ in range(VARIED_VIEWS)]
    return found


def views(
    pipeline: Pipeline, file: Path, rng: np.random.Generator, covers: int
) -> Iterator[tuple[str, Image, Face | None]]:
    """A photo as it is, with something harmless drawn on it, and with `covers` covers of kinds
    drawn by chance: its kind, the picture, and the face as it is found there, or None.

    No view is given of a photo that cannot be read or shows no face.
    """
    bare = bare_face(pipeline, file)
    if bare is None:
        return
    photo, face, points_px = bare
    yield BARE, photo, face
    kinds = [_one(HARMLESS, rng), *(_one(COVERS, rng) for _ in range(covers))]
    for kind in kinds:
        drawn = draw(photo, points_px, kind, rng)
        yield kind, drawn, same_face(pipeline, drawn, face)


def bare_face(pipeline: Pipeline, file: Path) -> tuple[Image, Face, Floats] | None:
    """A photo of at most `MOST_PX`, its most prominent face, and its landmarks (68, 2) in pixels;
    None if the photo cannot be read or shows no face."""
    try:
        photo = read_photo(file)
    except PhotoError:
        return None
    scale = MOST_PX / max(photo.shape[:2])
    if scale < 1:
        small = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        photo = np.asarray(small, np.uint8)
    faces = pipeline.find(photo)
    if not faces:
        return None
    box = faces[0].box_px
    found = pipeline.landmarks(photo, box).reshape(-1, 2)
    return photo, faces[0], (found * (box[2:] - box[:2]) + box[:2]).astype(np.float32)


def draw(photo: Image, points_px: Floats, kind: str, rng: np.random.Generator) -> Image:
    """A photo with a cover, or something harmless, drawn on its face."""
    on = sheet(photo, points_px, rng)
    if kind in HARMLESS:
        return HARMLESS[kind](on).photo
    if on.chance(UNDER):
        under = ("clear glasses", "beard")[rng.integers(2)]
        on = HARMLESS[under](on)
    return COVERS[kind](on).photo


def same_face(pipeline: Pipeline, photo: Image, face: Face) -> Face | None:
    """The face of a drawn-on photo that lies where a face was before; None if none is found."""
    faces = pipeline.find(photo)
    if not faces:
        return None
    overlaps = [geometry.iou(one.box_px, face.box_px) for one in faces]
    best = int(np.argmax(overlaps))
    return faces[best] if overlaps[best] >= LEAST_IOU else None


def _one(kinds: dict[str, Draw], rng: np.random.Generator) -> str:
    return list(kinds)[rng.integers(len(kinds))]
