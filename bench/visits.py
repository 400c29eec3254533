"""A door in numbers: people and strangers visit it photo by photo, and its templates learn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.adapters.photos import is_photo, read_photo
from ostiary.edge.cli.console import progress
from ostiary.edge.core.faces import quality
from ostiary.edge.core.rules import learning
from ostiary.edge.core.rules.learning import LearningRules
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import each_photo
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.faces import excluded
from ostiary.export.faces.crops import photo_id


@dataclass(frozen=True, slots=True, eq=False)
class SeenPhotos:
    """Photos as embeddings: `templates` by the float encoder, `probes` by the door's, both (n, dim)
    unit-norm float32. `person` (n,) numbers the people from 0; `good` (n,) says if a template may
    learn from the photo."""

    templates: Floats
    probes: Floats
    person: NDArray[np.int64]
    good: NDArray[np.bool_]


class LearningDoor:
    """A door that has enrolled one photo of each of some people; a photo is a visit of its own day.

    Decisions, tau and learning are the device's own; votes, PAD and the clock are left out.
    """

    def __init__(
        self,
        photos: SeenPhotos,
        enrolled: NDArray[np.int64],
        curves: Curves,
        fpir: float,
        rules: LearningRules,
    ) -> None:
        """`enrolled` (k,) are rows of `photos`, one a person."""
        self._photos, self._curves, self._fpir, self._rules = photos, curves, fpir, rules
        self.owner = photos.person[enrolled]
        self.enrolled = photos.templates[enrolled]
        self.templates = self.enrolled.copy()
        self.samples: list[list[int]] = [[] for _ in enrolled]
        self.tau = self.tau_for(fpir)

    def tau_for(self, fpir: float, counted: bool = True) -> float:
        """tau at an FPIR; unless `counted`, as if no template had learned."""
        photos = [learning.photos_of(1, len(held) if counted else 0) for held in self.samples]
        return self._curves.identify(fpir, Counter(photos), visit=False).tau

    def visit(self, row: int) -> int | None:
        """Show one photo: the number of the granted template, None if denied. It may learn."""
        probe = self._photos.probes[row]
        scores = self.templates @ probe
        second, best = (int(at) for at in np.argsort(scores)[-2:])
        if not scores[best] >= self.tau or not scores[best] - scores[second] >= Rules().margin:
            return None
        sure = self.tau_for(self._fpir * self._rules.stricter)
        if self._photos.good[row] and learning.is_sure(float(self.enrolled[best] @ probe), sure):
            self.samples[best] = [*self.samples[best], row][-self._rules.samples :]
            held = [self._photos.probes[sample] for sample in self.samples[best]]
            self.templates[best] = learning.effective(self.enrolled[best], held, 1)
            self.tau = self.tau_for(self._fpir)
        return best

    def missed(self, rows: NDArray[np.int64], learned: bool = True) -> NDArray[np.bool_]:
        """Which of these photos of enrolled people are not recognised, (n,); nothing is learned."""
        scores = self._scores(rows, learned)
        right = self.owner[scores.argmax(1)] == self._photos.person[rows]
        return np.asarray(~right | (scores.max(1) < (self.tau if learned else self.tau_before)))

    def let_in(
        self, rows: NDArray[np.int64], tau: float, learned: bool = True
    ) -> NDArray[np.bool_]:
        """Which of these photos of strangers reach a tau, (n,)."""
        return np.asarray(self._scores(rows, learned).max(1) >= tau)

    @property
    def tau_before(self) -> float:
        """tau as it was before anything was learned."""
        return self.tau_for(self._fpir, counted=False)

    def cosines(self) -> Floats:
        """The cosine of each template to its enrolled one, (k,)."""
        return np.asarray(np.einsum("ij,ij->i", self.templates, self.enrolled), np.float32)

    def strangers_samples(self) -> int:
        """The samples that are another person's than the template's."""
        person = self._photos.person
        pairs = zip(self.samples, self.owner, strict=True)
        return sum(int(person[row] != owner) for held, owner in pairs for row in held)

    def _scores(self, rows: NDArray[np.int64], learned: bool) -> Floats:
        templates = self.templates if learned else self.enrolled
        return self._photos.probes[rows] @ templates.T


def read_photos(loaded: Bundle, faces: Path, exclude: Path | None) -> SeenPhotos:
    """The embeddings of a folder's photos. Raises PhotoError or ConfigError."""
    found = sorted(path for path in faces.glob("*/*") if is_photo(path))
    if exclude is not None:
        wrong = {photo.id for photo in excluded.read(exclude)[0].photos}
        found = [path for path in found if photo_id(path) not in wrong]
    if not found:
        raise PhotoError(f"no photos in the subfolders of {faces}", "give one subfolder per person")
    bar, done = progress("embedding")
    with bar:
        results = each_photo(loaded, found, _embedded, "auto", done)
    kept = [(path, one) for path, one in zip(found, results, strict=True) if one is not None]
    person = np.unique([path.parent.name for path, _ in kept], return_inverse=True)[1]
    templates, probes, good = zip(*(one for _, one in kept), strict=True)
    return SeenPhotos(
        np.stack(templates), np.stack(probes), person.astype(np.int64), np.array(good)
    )


def _embedded(pipeline: Pipeline, photo: Path) -> tuple[Floats, Floats, bool] | None:
    """A photo as a template, as a probe, and whether a template may learn from it."""
    image = read_photo(photo)
    boxes = pipeline.boxes(image)
    if not boxes:
        return None
    (face,) = pipeline.faces(image, boxes[:1])
    aligned = pipeline.align(image, face)
    limits = quality.demanding(quality.Limits())
    good = not quality.failures(pipeline.quality(face, aligned), limits)
    return pipeline.embed(aligned), pipeline.probe(aligned), good
