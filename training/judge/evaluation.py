"""evaluation.json: measurements of a run's encoders on people set aside."""

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
"""The most encoders for one data set: a chart has only this many line styles."""
STEPS = 100
"""Points of a DET curve along each of its two rates."""
DRAWN_PEOPLE, DRAWN_IMAGES = charts.DOTS, 20
WORST = 5
Rows = NDArray[np.int64]
Kind = Literal["genuine", "impostor"]


class Plane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Embeddings in the plane of greatest variance; `share` is each axis's share of variance."""

    points: list[tuple[float, float]]
    person: list[int]
    share: tuple[float, float]


class Worst(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A genuine pair that scored low or an impostor pair that scored high; `a` and `b` are the
    positions of its images."""

    kind: Kind
    a: int
    b: int
    score: float


class Evaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One encoder measured on one data set; people have numbers here, never names or pictures.

    `name` is the encoder's ("untrained", "best"). `drawn` are the EERs of random draws of people,
    from which the interval of `eer` is taken (0 to 1 if there are too few people); `counts` are the
    pairs along the DET curve.
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
    """A part of the people and its use: "training", "choosing the epoch" or "judging"."""

    use: str
    people: int
    images: int


class RunPhotos(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The photos of a run; `refused` counts those that were not used, by reason."""

    name: str
    parts: list[Part]
    refused: dict[str, int]


class Evaluations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file: the photos, and the encoders in the order they were made, untrained first."""

    data: RunPhotos | None = None
    evaluations: list[Evaluation] = []

    def data_sets(self) -> dict[str, list[Evaluation]]:
        """The evaluations by data set, in the order of the file."""
        found: dict[str, list[Evaluation]] = {}
        for one in self.evaluations:
            found.setdefault(one.data_set, []).append(one)
        return found


def measure(name: str, embeddings: Floats, person: Rows, data_set: str = "") -> Evaluation:
    """Evaluate unit-length embeddings (n, dim) over all pairs; `person` (n,) is the person of each.

    Raises PhotoError if there is no genuine or no impostor pair.
    """
    # Number the people again: an unused number would be drawn like a person without photos.
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
    """The fall of the EER from `before` to `after`, with its 95 % interval over people.

    Both use the same draws of people, so that the interval is that of the difference. None if the
    two were not measured on the same photos.
    """
    sizes = [(e.data_set, e.people, e.images, e.counts.genuines) for e in (before, after)]
    if sizes[0] != sizes[1]:
        return None
    drawn = np.array(before.drawn) - np.array(after.drawn)
    return _rate(before.eer.value - after.eer.value, drawn, before.people, -1.0)


def _rate(value: float, drawn: NDArray[np.float64], people: int, least: float) -> Rate:
    """A rate with its 95 % interval; with too few people the interval is `least` to 1."""
    low, high = np.quantile(drawn, [0.025, 0.975]) if people >= LEAST_PEOPLE else (least, 1.0)
    return Rate(value, float(low), float(high))


def plane(embeddings: Floats, person: Rows) -> Plane:
    """The embeddings (n, dim) along their first two principal components, for a chart.

    The components are those of all embeddings, by singular value decomposition (Jolliffe, Principal
    Component Analysis, 2002); only points of the people with the most photos are kept. The sign of
    an axis is arbitrary; its greatest weight is made positive, so that charts agree.
    """
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=0, dtype=np.float64)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    shares = sizes[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(np.float64).tiny)
    kept = _drawn_rows(person)
    points = [(float(x), float(y)) for x, y in np.round(centred[kept] @ axes.T, 5)]
    return Plane(points, person[kept].tolist(), (float(shares[0]), float(shares[1])))


def _drawn_rows(person: Rows) -> Rows:
    """The rows to show in a chart: the first photos of the people with the most photos."""
    ids, counts = np.unique(person, return_counts=True)
    chosen = np.sort(ids[np.argsort(-counts, kind="stable")][:DRAWN_PEOPLE])
    return np.concatenate([np.flatnonzero(person == one)[:DRAWN_IMAGES] for one in chosen])


def _counts(genuine: Floats, impostor: Floats) -> Counts:
    """Error counts at scores that make each rate rise in steps of equal ratio."""
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
    """Write the evaluations to a run's folder. Raises ConfigError if a chart cannot hold them."""
    if data is not None:
        data = msgspec.structs.replace(data, name=as_text(data.name))
    held = Evaluations(data, evaluations)
    for name, some in held.data_sets().items():
        if len(some) > A_DATA_SET:
            raise ConfigError(
                f"{len(some)} encoders were evaluated on {name or 'one data set'}",
                f"a report shows at most {A_DATA_SET}: keep the first, the best and one more",
            )
    write_atomically(folder / EVALUATION, msgspec.json.encode(held))


def read(folder: Path) -> Evaluations:
    """The evaluations of a run's folder, empty if there are none yet.

    Raises ConfigError if the file is damaged.
    """
    path = folder / EVALUATION
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluations)
    except FileNotFoundError:
        return Evaluations()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", "restore the file, or train again") from error
