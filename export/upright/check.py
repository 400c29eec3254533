"""What becomes of turned photos and of faces before a turned camera, counted on faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces import geometry, quality
from ostiary.edge.core.faces.upright import DEGREES, NONE, best_turn
from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import LIMITS, each_photo
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.vision.turns import lead_of, looks
from ostiary.export.upright.looks import photos_in

DRAWS = 20
"""Random enrollments of K people, over which strangers are counted."""


class TurnedPhotos(msgspec.Struct, frozen=True):
    """Photos turned by `turned` degrees clockwise: how many are taken as they are, turned upright,
    turned to a wrong side, refused, or show no face in any turn."""

    turned: int
    photos: int
    as_they_are: int
    turned_upright: int
    turned_wrongly: int
    refused: int
    no_face: int


class TurnedFrames(msgspec.Struct, frozen=True):
    """Faces of strangers before a camera turned by `turned` degrees, at a door with `k` people.

    `found` faces, of which `usable` pass the quality limits, uprightness included. `let_in` is the
    share of all found faces that reach tau, `let_in_unasked` that share if uprightness were not
    asked.
    """

    turned: int
    k: int
    wanted: float
    found: int
    usable: int
    let_in: float
    let_in_unasked: float


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """One turn of a photo: how upright its face looks, and its probe if quality allows one."""

    looks: float
    usable: bool = False
    probe: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Photo:
    """The views of a photo in all four turns, and the template of the photo as it is."""

    views: list[_View]
    template: Floats | None
    lead: float


def check(
    bundle: Bundle, faces: Path, k: int, fpir: float, done: Callable[[int, int], None]
) -> tuple[list[TurnedPhotos], list[TurnedFrames]]:
    """Count upright photos of a folder in each of their four turns. Raises PhotoError."""
    files = photos_in(faces)
    found = each_photo(bundle, files, _seen, done=done)
    names = [file.parent.name for file in files]
    read = [(name, photo) for name, photo in zip(names, found, strict=True) if photo is not None]
    tau = threshold(bundle.curve(bundle.comparison), fpir, k).tau
    photos = [_photos(turned, [photo for _, photo in read]) for turned in DEGREES]
    frames = [_frames(turned, read, k, fpir, tau) for turned in DEGREES]
    return photos, [item for item in frames if item is not None]


def _seen(pipeline: Pipeline, file: Path) -> _Photo | None:
    try:
        photo = read_photo(file)
    except PhotoError:
        return None
    views, template = [], None
    for degrees in DEGREES:
        view = geometry.turned(photo, degrees)
        faces = pipeline.find(view)
        if not faces:
            views.append(_View(NONE))
            continue
        aligned = pipeline.align(view, faces[0])
        failed = set(quality.failures(pipeline.quality(faces[0], aligned), LIMITS))
        probe = pipeline.probe(aligned) if failed <= {quality.NOT_UPRIGHT} else None
        views.append(_View(looks(faces), not failed, probe))
        if degrees == 0 and not failed:
            template = pipeline.embed(aligned)
    return _Photo(views, template, lead_of(pipeline))


def _photos(turned: int, photos: list[_Photo]) -> TurnedPhotos:
    """A photo turned by a quarter has the photo's own four views, in another order."""
    kinds = [_kind(turned, photo) for photo in photos]
    return TurnedPhotos(
        turned,
        len(photos),
        kinds.count("as-it-is"),
        kinds.count("upright"),
        kinds.count("wrong"),
        kinds.count("refused"),
        kinds.count("no-face"),
    )


def _kind(turned: int, photo: _Photo) -> str:
    quarters = DEGREES.index(turned)
    views = [view.looks for view in photo.views]
    shown = views[quarters:] + views[:quarters]
    if max(shown) == NONE:
        return "no-face"
    degrees = best_turn(shown, photo.lead)
    if degrees is None:
        return "refused"
    if degrees == 0:
        return "as-it-is"
    return "upright" if (degrees + turned) % 360 == 0 else "wrong"


def _frames(
    turned: int, read: list[tuple[str, _Photo]], k: int, wanted: float, tau: float
) -> TurnedFrames | None:
    """None if there are too few people to enroll `k` and have strangers."""
    people: dict[str, Floats] = {}
    for name, photo in read:
        if photo.template is not None:
            people.setdefault(name, photo.template)
    if len(people) <= k:
        return None
    quarter = DEGREES.index(turned)
    seen = [(name, photo.views[quarter]) for name, photo in read]
    seen = [(name, view) for name, view in seen if view.looks > NONE]
    rng, names = np.random.default_rng(0), sorted(people)
    asked, unasked, strangers = 0, 0, 0
    for _ in range(DRAWS):
        enrolled = {names[i] for i in rng.choice(len(names), k, replace=False)}
        templates = np.stack([people[name] for name in sorted(enrolled)])
        for name, view in seen:
            if name in enrolled:
                continue
            strangers += 1
            if view.probe is not None and float((templates @ view.probe).max()) >= tau:
                unasked += 1
                asked += view.usable
    usable = sum(view.usable for _, view in seen)
    return TurnedFrames(
        turned, k, wanted, len(seen), usable, asked / max(strangers, 1), unasked / max(strangers, 1)
    )
