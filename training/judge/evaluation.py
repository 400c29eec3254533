"""evaluation.json: what encoders were worth on people kept apart, in the folder of their run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import ConfigError
from ostiary.edge.files import as_text, write_atomically
from ostiary.edge.runtime.det import Counts
from ostiary.export.faces.pairs import all_pairs, tar_rows
from ostiary.export.records.results import TarRow
from ostiary.export.report import charts
from ostiary.training.judge.bootstrap import LEAST_PEOPLE, eer_draws
from ostiary.training.judge.embed import eer

EVALUATION = "evaluation.json"
A_DATA_SET = len(charts.DASHES)
"""Encoders whose curves one chart can tell apart."""
STEPS = 100
"""Points of a DET curve, along each of its two rates."""
DRAWN_PEOPLE, DRAWN_IMAGES = charts.DOTS, 20
WORST = 5
Rows = NDArray[np.int64]
Kind = Literal["genuine", "impostor"]


class Plane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Embeddings in the plane that shows most of their variance; `share` is how much, by axis."""

    points: list[tuple[float, float]]
    person: list[int]
    share: tuple[float, float]


class Worst(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A genuine pair that scored low or an impostor pair that scored high, by images' places."""

    kind: Kind
    a: int
    b: int
    score: float


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One encoder on one data set. Holds numbers of people, never names or pictures.

    `name` says which encoder ("untrained", "best"), `data_set` on what. `drawn` are the EERs of
    random draws of people that the interval of `eer` is of (0 to 1 where the people are too few
    for one); `counts` are along the DET curve.
    """

    name: str
    data_set: str = ""
    people: int
    images: int
    eer: Rate
    drawn: list[float]
    tar: list[TarRow]
    counts: Counts
    plane: Plane
    worst: list[Worst]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What some of the people were for: "training", "choosing the epoch", "judging"."""

    use: str
    people: int
    images: int


class RunPhotos(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The photos of a run; `refused` counts, by reason, what was not used."""

    name: str
    parts: list[Part]
    refused: dict[str, int]


class Evaluations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: the photos, and the encoders in the order of their making, untrained first."""

    data: RunPhotos | None = None
    evaluations: list[Evaluation] = []

    def data_sets(self) -> dict[str, list[Evaluation]]:
        """The encoders of each data set, in their order."""
        found: dict[str, list[Evaluation]] = {}
        for one in self.evaluations:
            found.setdefault(one.data_set, []).append(one)
        return found


def measure(name: str, embeddings: Floats, person: Rows, data_set: str = "") -> Evaluation:
    """All there is to tell of unit-length embeddings (n, dim) of people (n,), by every pair.

    Raises PhotoError where there is no pair of one person, or none of two.
    """
    # Numbered anew: a number that nobody has would be drawn like a person without photos.
    ids, owner = np.unique(person, return_inverse=True)
    genuine, impostor, pairs = all_pairs(embeddings, embeddings, owner)
    drawn = eer_draws(embeddings, person)
    return Evaluation(
        name=name,
        data_set=data_set,
        people=len(ids),
        images=len(person),
        eer=_rate(eer(genuine, impostor), drawn, len(ids), 0.0),
        drawn=np.round(drawn, 6).tolist(),
        tar=tar_rows(pairs),
        counts=_counts(genuine, impostor),
        plane=plane(embeddings, person),
        worst=_worst(genuine, impostor, person),
    )


def fall(before: Evaluation, after: Evaluation) -> Rate | None:
    """How much lower the EER is after than before, with its 95 % interval over people.

    A draw has the same people in both, so that the interval is of the difference. None where the
    two were not measured on the same photos.
    """
    sizes = [(e.data_set, e.people, e.images, e.counts.genuines) for e in (before, after)]
    if sizes[0] != sizes[1]:
        return None
    drawn = np.array(before.drawn) - np.array(after.drawn)
    return _rate(before.eer.value - after.eer.value, drawn, before.people, -1.0)


def _rate(value: float, drawn: NDArray[np.float64], people: int, least: float) -> Rate:
    """With its 95 % interval; of too few people with the widest there is, from `least` to 1."""
    low, high = np.quantile(drawn, [0.025, 0.975]) if people >= LEAST_PEOPLE else (least, 1.0)
    return Rate(value, float(low), float(high))


def plane(embeddings: Floats, person: Rows) -> Plane:
    """The first two principal components of embeddings (n, dim), of the people with most photos.

    By singular value decomposition of all of them, centred (Jolliffe, Principal Component
    Analysis, 2002). An axis points to where its greatest weight is positive: its sign means
    nothing, and so it is the same at every drawing.
    """
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    shares = sizes[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(np.float64).tiny)
    kept = _drawn_rows(person)
    points = [(float(x), float(y)) for x, y in np.round(centred[kept] @ axes.T, 5)]
    return Plane(points, person[kept].tolist(), (float(shares[0]), float(shares[1])))


def _drawn_rows(person: Rows) -> Rows:
    """The first photos of the people with the most."""
    ids, counts = np.unique(person, return_counts=True)
    chosen = np.sort(ids[np.argsort(-counts, kind="stable")][:DRAWN_PEOPLE])
    return np.concatenate([np.flatnonzero(person == one)[:DRAWN_IMAGES] for one in chosen])


def _counts(genuine: Floats, impostor: Floats) -> Counts:
    """Counts at the scores where either rate takes steps of equal ratio."""
    below, above = np.sort(genuine), np.sort(impostor)
    taus = np.unique(np.concatenate([_spread(below), _spread(above[::-1])]))
    at_or_above = len(above) - np.searchsorted(above, taus, side="left")
    under = np.searchsorted(below, taus, side="left")
    return Counts(len(above), len(below), at_or_above.tolist(), under.tolist())


def _spread(scores: Floats) -> Floats:
    return scores[np.geomspace(1, len(scores), STEPS).astype(np.int64) - 1]


def _worst(genuine: Floats, impostor: Floats, person: Rows) -> list[Worst]:
    first, second = np.triu_indices(len(person), 1)
    same = person[first] == person[second]

    def named(kind: Kind, which: Rows, scores: Floats, lowest: Floats) -> list[Worst]:
        chosen = np.argsort(lowest, kind="stable")[:WORST]
        pairs = ((which[at], scores[at]) for at in chosen)
        return [Worst(kind, int(first[i]), int(second[i]), float(score)) for i, score in pairs]

    low = named("genuine", np.flatnonzero(same), genuine, genuine)
    return low + named("impostor", np.flatnonzero(~same), impostor, -impostor)


def write(folder: Path, evaluations: list[Evaluation], data: RunPhotos | None = None) -> None:
    """Keep them in a run's folder. Raises ConfigError where they are too many for a chart."""
    if data is not None:
        data = msgspec.structs.replace(data, name=as_text(data.name))
    held = Evaluations(data, evaluations)
    for name, some in held.data_sets().items():
        if len(some) > A_DATA_SET:
            raise ConfigError(
                f"{len(some)} encoders were judged on {name or 'one data set'}",
                f"a report tells {A_DATA_SET} apart: keep the first, the best and one more",
            )
    write_atomically(folder / EVALUATION, msgspec.json.encode(held))


def read(folder: Path) -> Evaluations:
    """What a run's folder holds, or nothing yet. Raises ConfigError where the file is none."""
    path = folder / EVALUATION
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluations)
    except FileNotFoundError:
        return Evaluations()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "judge the run again") from error
