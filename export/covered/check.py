"""What becomes of covered and of bare faces at enrollment, counted on drawn covers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from ostiary.edge.core.faces import quality
from ostiary.edge.core.faces.covered import CoveredHead
from ostiary.edge.core.scores.metrics import Rate, rate_over
from ostiary.edge.core.types import Image
from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import LIMITS, each_photo
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.covered.covers import COVERS, HARMLESS
from ostiary.export.covered.looks import BARE, views
from ostiary.export.covered.varied import backlit, darkened
from ostiary.export.upright.looks import photos_in

DRAWN = 2
"""Covers drawn on each photo, of kinds chosen by chance."""
DARKEST = 0.1
"""The share of people, those with the darkest faces, who are counted apart."""
SEED = 1
"""The fit draws its covers with other seeds."""
LIGHTS: dict[str, Callable[[Image], Image]] = {
    "1 stop darker": lambda crop: darkened(crop, 1),
    "2 stops darker": lambda crop: darkened(crop, 2),
    "3 stops darker": lambda crop: darkened(crop, 3),
    "back-lit": backlit,
    "without colour": lambda crop: np.repeat(_grey(crop)[..., None], 3, 2),
}


class CoverCounts(msgspec.Struct, frozen=True):
    """Photos with a drawing of one kind at enrollment: how many are refused as `covered`, refused
    otherwise, show no face any more, or are taken; and the share that is not taken."""

    kind: str
    photos: int
    covered: int
    otherwise: int
    no_face: int
    taken: int
    refused: Rate


class BareShare(msgspec.Struct, frozen=True):
    """Faces on which nothing is drawn: the share that looks covered, over people."""

    what: str
    faces: int
    covered: Rate


@dataclass(frozen=True, slots=True, eq=False)
class _Photo:
    """What became of each view of a photo, how dark its face is, and which of the crops as it is
    and in other light look covered."""

    file: Path
    fates: list[tuple[str, str]]
    light: float
    looks: dict[str, bool]

    @property
    def name(self) -> str:
        return f"{self.file.parent.name}/{self.file.name}"


def check(
    bundle: Bundle, faces: Path, done: Callable[[int, int], None], worn: Collection[str] = ()
) -> tuple[list[CoverCounts], list[BareShare], list[str]]:
    """Counts for each kind of drawing, shares of bare faces, and the photos that look covered as
    they are, as PERSON/FILE: whether somebody wears dark glasses there only the eye can tell.

    `worn` names photos of the latter kind on which the eye has seen a cover; they are counted as
    any other, and the shares end with one without them.
    Raises PhotoError, or BundleError if the bundle has no head for this.
    """
    if bundle.covered is None:
        raise BundleError(
            f"{bundle.path} has no covered.json", "ostiary-export attach puts one into the bundle"
        )
    files = photos_in(faces)
    read = each_photo(bundle.in_float(), list(enumerate(files)), _seen, done=done)
    photos = [photo for photo in read if photo is not None]
    if not photos:
        raise PhotoError(f"no face in any of the {len(files)} photos of {faces}")
    shares = _shares(photos)
    if worn:
        bare = [photo for photo in photos if photo.name not in worn]
        shares.append(_share(f"bare, without {len(photos) - len(bare)} worn covers", bare, BARE))
    return _counts(photos), shares, [photo.name for photo in photos if photo.looks[BARE]]


def _seen(pipeline: Pipeline, item: tuple[int, Path]) -> _Photo | None:
    number, file = item
    assert pipeline.bundle.covered is not None
    head = pipeline.bundle.covered.head()
    fates, light, looks = [], 0.0, {}
    for kind, photo, face in views(pipeline, file, np.random.default_rng([number, SEED]), DRAWN):
        if face is None:
            fates.append((kind, "no-face"))
            continue
        crop = pipeline.align(photo, face)
        failed = quality.failures(pipeline.quality(face, crop), LIMITS)
        fates.append((kind, _fate(failed)))
        if kind == BARE:
            light, looks = light_of(crop), _looks(head, crop)
    return _Photo(file, fates, light, looks) if looks else None


def _fate(failed: Sequence[str]) -> str:
    if quality.is_covered(failed):
        return "covered"
    return "otherwise" if failed else "taken"


def _looks(head: CoveredHead, crop: Image) -> dict[str, bool]:
    shown = {BARE: crop, **{name: make(crop) for name, make in LIGHTS.items()}}
    return {name: head.coveredness(picture) >= 0 for name, picture in shown.items()}


def light_of(crop: Image) -> float:
    """How bright the middle of a face is, 0 to 255."""
    side = crop.shape[0] // 4
    return float(_grey(crop)[side:-side, side:-side].mean())


def _grey(crop: Image) -> Image:
    return np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), np.uint8)


def _counts(photos: Sequence[_Photo]) -> list[CoverCounts]:
    rows = []
    for kinds, name in [
        *(((kind,), kind) for kind in (BARE, *HARMLESS, *COVERS)),
        (tuple(HARMLESS), "all harmless"),
        (tuple(COVERS), "all covers"),
    ]:
        fates = [(p.file.parent, f) for p in photos for kind, f in p.fates if kind in kinds]
        if fates:
            told = [fate for _, fate in fates]
            refused = [(person, fate != "taken") for person, fate in fates]
            rows.append(
                CoverCounts(
                    name,
                    len(fates),
                    told.count("covered"),
                    told.count("otherwise"),
                    told.count("no-face"),
                    told.count("taken"),
                    _rate(refused),
                )
            )
    return rows


def _shares(photos: Sequence[_Photo]) -> list[BareShare]:
    rows = [_share(name, photos, name) for name in photos[0].looks]
    people: dict[Path, list[float]] = {}
    for photo in photos:
        people.setdefault(photo.file.parent, []).append(photo.light)
    order = sorted(people, key=lambda person: float(np.mean(people[person])))
    darkest = set(order[: max(int(len(order) * DARKEST), 1)])
    dark = [photo for photo in photos if photo.file.parent in darkest]
    return [
        *rows,
        *(_share(f"darkest tenth of people, {name}", dark, name) for name in (BARE, *LIGHTS)),
    ]


def _share(what: str, photos: Sequence[_Photo], name: str) -> BareShare:
    return BareShare(what, len(photos), _rate([(p.file.parent, p.looks[name]) for p in photos]))


def _rate(found: Sequence[tuple[Path, bool]]) -> Rate:
    people = {person: i for i, person in enumerate(sorted({person for person, _ in found}))}
    rows = [people[person] for person, _ in found]
    errors = np.bincount(rows, weights=[float(wrong) for _, wrong in found])
    return rate_over(errors.astype(np.float64), np.bincount(rows).astype(np.float64))
