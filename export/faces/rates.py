"""The error rates of each group of people, at the tau that everybody gets."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.metrics import Pairs, Rate, between_people, interval, tau_at_fmr
from ostiary.edge.errors import PhotoError
from ostiary.export.faces.groups import Groups
from ostiary.export.faces.kinds import People
from ostiary.export.faces.pairs import all_pairs

FMR = 1e-3
DRAWS = 400


class GroupRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One group: its people and images, and FMR and FNMR among them at everybody's tau.

    tau gives everybody an FMR of `wanted`. Intervals are over people.
    """

    group: str
    images: int
    people: int
    wanted: float
    fmr: Rate
    fnmr: Rate


def group_rows(people: People, groups: Groups, wanted: float = FMR) -> list[GroupRow]:
    """The rates of everybody (an empty name), then of each group that has pairs of both kinds."""
    everybody = _pairs(people)
    if everybody is None:
        return []
    tau = tau_at_fmr(everybody, wanted)
    rows = [_row("", people, everybody, tau, wanted)]
    for name in groups.names:
        inside = people.only(groups.of == name)
        pairs = _pairs(inside)
        if pairs is not None:
            rows.append(_row(name, inside, pairs, tau, wanted))
    return rows


def _pairs(people: People) -> Pairs | None:
    """All pairs, not a tail: a group may match much more often than everybody does."""
    try:
        return all_pairs(people.templates, people.probes, people.person, tail=1.0)[2]
    except PhotoError:
        return None


def _row(name: str, people: People, pairs: Pairs, tau: float, wanted: float) -> GroupRow:
    matched = pairs.tail_people[pairs.tail >= tau]
    refused = pairs.genuine < tau
    drawn = np.array(_drawings(pairs, matched, refused))
    return GroupRow(
        name,
        len(people.person),
        len(np.unique(people.person)),
        wanted,
        interval(len(matched) / pairs.impostors, drawn[:, 0]),
        interval(float(refused.mean()), drawn[:, 1]),
    )


def _drawings(
    pairs: Pairs, matched: NDArray[np.int64], refused: NDArray[np.bool_]
) -> list[tuple[float, float]]:
    """FMR and FNMR of people drawn with replacement, as in `core.scores.metrics.tar_interval`.

    `matched` (m, 2) are the two people of each false match.
    """
    rng = np.random.default_rng(0)
    people = len(pairs.images)
    found = []
    for _ in range(DRAWS):
        times = np.bincount(rng.integers(0, people, people), minlength=people)
        images = times * pairs.images
        between = between_people(images)
        both = times[matched[:, 0]] * times[matched[:, 1]]
        own = times[pairs.genuine_person]
        found.append(
            (
                float(both.sum()) / max(between, 1.0),
                float(own[refused].sum()) / max(float(own.sum()), 1.0),
            )
        )
    return found
