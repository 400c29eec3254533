"""The landmark model's outputs on photos in all four turns: as they are, and varied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.adapters.photos import is_photo, read_photo
from ostiary.edge.core.faces import geometry
from ostiary.edge.core.faces.upright import DEGREES
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import each_photo
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.faces.crops import inside

VIEWS = 2
"""Varied views of a photo in each turn, beside the photo itself."""
TILT_DEG, TURNED_TILT_DEG = 40.0, 30.0
"""The most that varied views are tilted: upright ones as far as a door lets heads tilt by default,
turned ones less, so that no view lies between the two."""
SIDES = ((250, 250), (240, 320), (320, 240))
"""Heights and widths of varied views: the detector sees each squeezed into its own shape."""
SCALES = (0.5, 1.1)
PHOTO_PX = 250.0
"""The longer side of a photo at a scale of 1."""
SHIFT, BOX_NOISE = 0.1, 0.03
"""How far views are moved, in sides of the view; the noise of box edges, in sides of the box."""


@dataclass(frozen=True, slots=True, eq=False)
class FaceLooks:
    """The most prominent face in each view of photos, where one was found.

    `landmarks` (n, 136) are the model's outputs; `person`, `photo` (n,) are indices; `degrees` (n,)
    say how far clockwise the view would have to be turned; `plain` (n,) marks photos that were only
    turned.
    """

    landmarks: Floats
    person: NDArray[np.int64]
    photo: NDArray[np.int64]
    degrees: NDArray[np.int64]
    plain: NDArray[np.bool_]
    people: int
    photos: int


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    landmarks: Floats
    degrees: int
    plain: bool


def read_looks(
    bundle: Bundle, faces: Path, done: Callable[[int, int], None], views: int = VIEWS
) -> FaceLooks:
    """The looks of a folder with one subfolder of upright photos per person.

    Raises PhotoError if the folder has photos of fewer than two people. Photos that cannot be read
    are skipped.
    """
    files = photos_in(faces)
    people = {name: i for i, name in enumerate(sorted({f.parent.name for f in files}))}
    work = [(number, file, views) for number, file in enumerate(files)]
    found = each_photo(bundle.in_float(), work, _looks_of, done=done)
    rows = [(look, number) for number, photo in enumerate(found) for look in photo]
    if not rows:
        raise PhotoError(f"no face in any of the {len(files)} photos of {faces}")
    return FaceLooks(
        np.stack([look.landmarks for look, _ in rows]),
        np.array([people[files[number].parent.name] for _, number in rows]),
        np.array([number for _, number in rows]),
        np.array([look.degrees for look, _ in rows]),
        np.array([look.plain for look, _ in rows]),
        len(people),
        len(files),
    )


def photos_in(faces: Path) -> list[Path]:
    """The photos in the subfolders of a folder. Raises PhotoError below two people."""
    files = [path for path in inside(faces) if is_photo(path)]
    people = len({file.parent.name for file in files})
    if people < 2:
        raise PhotoError(
            f"{faces} holds photos of {people} people", "give one subfolder of photos per person"
        )
    return files


def _looks_of(pipeline: Pipeline, item: tuple[int, Path, int]) -> list[_Look]:
    number, file, views = item
    try:
        photo = read_photo(file)
    except PhotoError:
        return []
    rng = np.random.default_rng([number, views])
    found: list[_Look] = []
    for degrees in DEGREES:
        # Turned the other way, so that a turn by `degrees` shows it upright again.
        turned = geometry.turned(photo, (360 - degrees) % 360)
        found += _look(pipeline, turned, degrees, None)
        for _ in range(views):
            found += _look(pipeline, _varied(turned, degrees, rng), degrees, rng)
    return found


def _look(
    pipeline: Pipeline, view: Image, degrees: int, rng: np.random.Generator | None
) -> Sequence[_Look]:
    boxes = pipeline.boxes(view)
    if not boxes:
        return ()
    box = boxes[0][0]
    if rng is not None:
        sides = np.tile(box[2:] - box[:2], 2)
        box = (box + rng.normal(0, BOX_NOISE, 4) * sides).astype(np.float32)
    return (_Look(pipeline.landmarks(view, box), degrees, rng is None),)


def _varied(turned: Image, degrees: int, rng: np.random.Generator) -> Image:
    """A turned photo, mirrored or not, tilted, scaled and moved in a picture of another shape."""
    height, width = SIDES[rng.integers(len(SIDES))]
    photo = turned[:, ::-1] if rng.random() < 0.5 else turned
    most = TURNED_TILT_DEG if degrees else TILT_DEG
    middle = np.array(photo.shape[1::-1]) / 2
    scale = rng.uniform(*SCALES) * PHOTO_PX / max(photo.shape[:2])
    moved = rng.uniform(-SHIFT, SHIFT, 2) * [width, height]
    matrix = np.array(cv2.getRotationMatrix2D(middle.tolist(), rng.uniform(-most, most), scale))
    matrix[:, 2] = matrix[:, 2] + np.array([width, height]) / 2 - middle + moved
    view = cv2.warpAffine(
        np.ascontiguousarray(photo), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(view, np.uint8)
