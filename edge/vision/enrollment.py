"""Makes one template from photos of one person, or refuses them with a reason."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostiary.edge.core.faces import quality
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.faces.tracking import fuse
from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.types import Floats, Image, Template
from ostiary.edge.errors import EnrollmentRefused
from ostiary.edge.vision.pipeline import Pipeline

AGREEMENT_FMR = 0.001
"""The false match rate at which all photos of one person must match each other 1:1."""


def enroll(
    pipeline: Pipeline, subject: str, photos: Sequence[tuple[str, Image]], limits: Limits
) -> Template:
    """One template from one or more named photos (BGR).

    Raises EnrollmentRefused, which names the photo: `no-photo`, `no-face`, `two-faces`,
    `low-quality` or `disagreement`.
    """
    if not photos:
        raise EnrollmentRefused("no-photo", "no photo was given", "give at least one")
    embeddings = [_one_face(pipeline, name, image, limits) for name, image in photos]
    _agree(pipeline, [name for name, _ in photos], embeddings)
    return Template(subject, pipeline.bundle.encoder_id, fuse(embeddings))


def _one_face(pipeline: Pipeline, name: str, image: Image, limits: Limits) -> Floats:
    faces = pipeline.find(image)
    if not faces:
        raise EnrollmentRefused("no-face", f"{name}: no face was found")
    if len(faces) > 1:
        raise EnrollmentRefused(
            "two-faces",
            f"{name}: {len(faces)} faces were found",
            "crop the photo to the face to enroll",
        )
    aligned = pipeline.align(image, faces[0])
    failed = quality.failures(pipeline.quality(faces[0], aligned), limits)
    if failed:
        raise EnrollmentRefused(
            "low-quality", f"{name}: the face is {', '.join(failed)}", "take another photo"
        )
    return pipeline.embed(aligned)


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
