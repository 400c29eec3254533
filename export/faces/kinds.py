"""Scores of each kind of comparison: templates of one to three photos, with photos or visits."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.core.types import Floats
from ostiary.edge.runtime.det import DET_CURVE, MIN_IMPOSTORS, Counts, curve_of
from ostiary.export.faces import tail
from ostiary.export.faces.pairs import GRID, counts

LEAST_LOOKS, MOST_LOOKS = 3, 30
"""The photos that a stranger's visit is made of: at least so many, and at most. They were taken on
different days, so that a visit of them gives more chances than as many frames of one visit do."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What is compared: templates of `photos` photos, with single photos or whole visits.

    A visit shows photos of one person one after the other. Its score is the highest that the mean
    of the scores so far ever reaches, which is when a door would open.
    """

    photos: int = 1
    visit: bool = False

    def __str__(self) -> str:
        return f"templates of {self.photos}, {'visits' if self.visit else 'single photos'}"


SINGLE = Kind()
KINDS = [Kind(photos, visit) for visit in (False, True) for photos in (1, 2, 3)]


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The embeddings of images, once as templates and once as probes, each (n, dim), and `person`
    (n,).

    Templates and probes are the same array if both are float.
    """

    templates: Floats
    probes: Floats
    person: NDArray[np.int64]

    def only(self, kept: NDArray[np.bool_]) -> People:
        """The images of a mask."""
        return People(self.templates[kept], self.probes[kept], self.person[kept])


def sets(person: NDArray[np.int64], size: int, seed: int = 0) -> NDArray[np.int64]:
    """Disjoint sets of `size` images of one person each, as many as possible: (m, size) indices.

    Disjoint, since sets that share an image would look like more evidence than they are.
    """
    order = np.random.default_rng(seed).permutation(len(person))
    order = order[np.argsort(person[order], kind="stable")]
    starts = np.unique(person[order], return_index=True)[1]
    rows = [
        own[at : at + size]
        for own in np.split(order, starts[1:])
        for at in range(0, len(own) - size + 1, size)
    ]
    return np.array(rows, np.int64).reshape(-1, size)


def fuse_sets(embeddings: Floats, chosen: NDArray[np.int64]) -> Floats:
    """The unit-length mean of each set of embeddings: `core.faces.tracking.fuse` for many."""
    total = embeddings[chosen].astype(np.float64).sum(1)
    norms = np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return np.asarray(total / norms, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class KindScores:
    """The genuine scores, the impostor scores, and the highest impostor scores with the people."""

    genuine: Floats
    impostor: Floats
    top: tail.TopScores

    def counted(self, draws: int = tail.DRAWS) -> Counts | None:
        """The counts with their tail; None if a threshold cannot be derived from so few pairs."""
        if len(self.impostor) < MIN_IMPOSTORS or not len(self.genuine):
            return None
        rows = tail.table(self.top, draws)
        return msgspec.structs.replace(counts(self.genuine, self.impostor), tail=rows)

    def curve(self, data_set: str, draws: int = tail.DRAWS) -> DetCurve | None:
        """The counts as a curve; None if there are too few pairs."""
        found = self.counted(draws)
        return None if found is None else curve_of(DET_CURVE, GRID.tolist(), found, data_set)


def score(people: People, kind: Kind = SINGLE) -> KindScores:
    """Compare every template of a kind with every photo or visit that shares no photo with it.

    Of two single photos the earlier one is the template: with nearly the same score, the swapped
    pair would look like twice the evidence.
    """
    chosen = sets(people.person, kind.photos)
    if kind.visit:
        return _score_visits(people, chosen)
    asked = np.arange(len(people.person))[:, None]
    templates, probes = fuse_sets(people.templates, chosen), people.probes
    owner, asking = people.person[chosen[:, 0]], people.person[asked[:, 0]]
    scores = templates @ probes.T
    same = owner[:, None] == asking[None]
    left_out = _sharing(chosen, asked, len(people.person))
    if kind == SINGLE:
        left_out |= chosen > asked[:, 0]
    genuine, impostor = same & ~left_out, ~same & ~left_out
    top = _top(scores, impostor, owner, asking)
    return KindScores(scores[genuine], scores[impostor], top)


def visits(
    person: NDArray[np.int64], least: int = LEAST_LOOKS, seed: int = 0
) -> list[NDArray[np.int64]]:
    """The photos of each person who has at least `least`, as rows in a random order."""
    order = np.random.default_rng(seed).permutation(len(person))
    found = [order[person[order] == one][:MOST_LOOKS] for one in np.unique(person)]
    return [rows for rows in found if len(rows) >= least]


def visit_scores(templates: Floats, probes: Floats) -> Floats:
    """The scores (n,) of a visit against templates (n, dim); `probes` (looks, dim) in its order."""
    sums = np.cumsum(templates @ probes.T, axis=1, dtype=np.float64)
    return np.asarray((sums / np.arange(1, len(probes) + 1)).max(1), np.float32)


def _score_visits(people: People, chosen: NDArray[np.int64]) -> KindScores:
    templates, owner = fuse_sets(people.templates, chosen), people.person[chosen[:, 0]]
    paid = visits(people.person)
    asking = np.array([people.person[rows[0]] for rows in paid], np.int64)
    scores = np.array([visit_scores(templates, people.probes[rows]) for rows in paid], np.float32)
    scores = scores.reshape(len(paid), len(templates)).T
    impostor = owner[:, None] != asking[None]
    genuine = []
    for template, taken, person in zip(templates, chosen, owner, strict=True):
        # The enrolled come with all their photos that are not in the template, if only one.
        rest = np.setdiff1d(np.flatnonzero(people.person == person), taken)
        if len(rest):
            genuine.append(visit_scores(template[None], people.probes[rest])[0])
    top = _top(scores, impostor, owner, asking)
    return KindScores(np.array(genuine, np.float32), scores[impostor], top)


def _sharing(chosen: NDArray[np.int64], asked: NDArray[np.int64], images: int) -> NDArray[np.bool_]:
    """Which templates and probes share an image: (templates, probes)."""
    in_set = np.full(images, -1, np.int64)
    in_set[chosen.ravel()] = np.repeat(np.arange(len(chosen)), chosen.shape[1])
    found = np.zeros((len(chosen), len(asked)), bool)
    for column in asked.T:
        template = in_set[column]
        held = template >= 0
        found[template[held], np.flatnonzero(held)] = True
    return found


def _top(
    scores: Floats, counted: NDArray[np.bool_], owner: NDArray[np.int64], asking: NDArray[np.int64]
) -> tail.TopScores:
    impostors = int(counted.sum())
    everybody, at = np.unique(np.r_[owner, asking], return_inverse=True)
    first, second = at[: len(owner)], at[len(owner) :]
    kept = min(3 * int(max(tail.MODELLED_FROM * impostors, tail.LEAST_SCORES)), impostors)
    flat = np.where(counted, scores, np.float32(-2)).ravel()
    order = np.argpartition(-flat, kept - 1)[:kept] if kept else np.zeros(0, np.int64)
    order = order[np.argsort(-flat[order], kind="stable")]
    rows, columns = np.divmod(order, max(scores.shape[1], 1))
    return tail.TopScores(
        flat[order],
        np.stack([first[rows], second[columns]], axis=1),
        impostors,
        np.bincount(first, minlength=len(everybody)),
        np.bincount(second, minlength=len(everybody)),
    )
