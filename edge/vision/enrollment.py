"""Makes one template from photos of one person, or refuses them with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ostiary.edge.core.faces import geometry, quality
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.faces.tracking import fuse
from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.types import Floats, Image, Template
from ostiary.edge.errors import EnrollmentRefused
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.vision.turns import Upright, turn_upright

AGREEMENT_FMR = 0.001
"""The false match rate at which all photos of one person must match each other 1:1."""
MARGIN = "leave a margin of a third of the face around it"
"""What to tell whoever cuts a photo: the detector finds no face that fills the whole picture."""
SECOND_PHOTO = (
    "a second photo, taken on another day, is worth more than any other improvement;"
    " a door then refuses that person far less often"
)
"""What to tell whoever enrolls a person from one photo."""


def enroll(
    pipeline: Pipeline,
    subject: str,
    photos: Sequence[tuple[str, Image]],
    limits: Limits,
    note: Callable[[str], None] = lambda text: None,
) -> Template:
    """One template from one or more named photos (BGR), each turned upright first if need be.

    `limits` are those of a usable face; a template's are stricter (`quality.for_template`).

    Of several faces in a photo the one that clearly dominates is taken; `note` is told so, and if a
    photo was turned.
    Raises EnrollmentRefused, which names the photo: `no-photo`, `no-face`, `two-faces`,
    `not-upright`, `covered`, `low-quality` or `disagreement`.
    """
    if not photos:
        raise EnrollmentRefused("no-photo", "no photo was given", "give at least one")
    strict, embeddings = quality.for_template(limits), []
    for name, image in photos:
        upright = _upright(pipeline, name, image, strict, note)
        if upright.degrees:
            note(f"{name}: turned by {upright.degrees} degrees, so that the face is upright")
        embeddings.append(_embedded(pipeline, name, upright, strict))
    _agree(pipeline, [name for name, _ in photos], embeddings)
    return Template(subject, pipeline.bundle.encoder_id, fuse(embeddings), len(photos))


def _upright(
    pipeline: Pipeline, name: str, image: Image, limits: Limits, note: Callable[[str], None]
) -> Upright:
    """The photo as its one face is upright: the landmarks of a turned face are nobody's."""
    upright = turn_upright(pipeline, image)
    shown = upright or Upright(image, pipeline.find(image), 0)
    if not shown.faces:
        raise EnrollmentRefused("no-face", f"{name}: no face was found", MARGIN)
    _one_face(name, shown, note)
    if upright is None:
        # Of a blurred, dark or covered face no turn is clear; that it is so says what to do.
        _, failed = _aligned(pipeline, shown, limits)
        if quality.OF_THE_PICTURE.intersection(failed) or quality.is_covered(failed):
            raise _unfit(name, failed)
        raise EnrollmentRefused(
            quality.NOT_UPRIGHT,
            f"{name}: the face is not clearly upright, however the photo is turned",
            "take another photo, with the head upright",
        )
    if upright.degrees and pipeline.bundle.upright is None:
        # The detector's score alone is wrong too often to turn a photo by it.
        raise EnrollmentRefused(
            quality.NOT_UPRIGHT,
            f"{name}: the face looks turned by {360 - upright.degrees} degrees",
            f"turn the photo by {upright.degrees} degrees clockwise, or take another one;"
            " a bundle with an upright.json would know it better",
        )
    return upright


def _one_face(name: str, shown: Upright, note: Callable[[str], None]) -> None:
    """Refuse a photo of several faces of which none clearly dominates."""
    if len(shown.faces) == 1:
        return
    height, width = shown.image.shape[:2]
    if not geometry.dominates([face.box_px for face in shown.faces], (height, width)):
        raise EnrollmentRefused(
            "two-faces",
            f"{name}: {len(shown.faces)} faces were found, and none clearly dominates",
            f"cut the others away, but {MARGIN}",
        )
    note(f"{name}: of {len(shown.faces)} faces the large one in the middle was taken")


def _embedded(pipeline: Pipeline, name: str, upright: Upright, limits: Limits) -> Floats:
    aligned, failed = _aligned(pipeline, upright, limits)
    if failed:
        raise _unfit(name, failed)
    return pipeline.embed(aligned)


def _aligned(pipeline: Pipeline, shown: Upright, limits: Limits) -> tuple[Image, tuple[str, ...]]:
    """The aligned crop of the one face, and the limits that it breaks."""
    aligned = pipeline.align(shown.image, shown.faces[0])
    return aligned, quality.failures(pipeline.quality(shown.faces[0], aligned), limits)


def _unfit(name: str, failed: tuple[str, ...]) -> EnrollmentRefused:
    if quality.is_covered(failed):
        return EnrollmentRefused(
            quality.COVERED,
            f"{name}: the face is covered: eyes, nose and mouth must be seen",
            "take another photo without mask, scarf, sunglasses or hand",
        )
    return EnrollmentRefused(
        "low-quality", f"{name}: the face is {', '.join(failed)}", "take another photo"
    )


def _agree(pipeline: Pipeline, names: list[str], embeddings: list[Floats]) -> None:
    """Refuse photos of two people: their fused template would open the door for both."""
    if len(embeddings) == 1:
        return
    tau = threshold(pipeline.bundle.curve(), AGREEMENT_FMR, 1).tau
    stacked = np.stack(embeddings)
    scores = stacked @ stacked.T
    first, second = np.unravel_index(int(scores.argmin()), scores.shape)
    if scores[first, second] < tau:
        raise EnrollmentRefused(
            "disagreement",
            f"{names[first]} and {names[second]} do not look like one person"
            f" (score {scores[first, second]:.3f}, tau {tau:.3f})",
            "give photos of one person, or only the best one",
        )
