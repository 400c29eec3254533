"""The curves that a bundle carries: for each kind of comparison, and within the worst group."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.runtime.det import Counts, TemplateCurve, WorstGroup
from ostiary.export.faces import tail
from ostiary.export.faces.groups import Groups
from ostiary.export.faces.kinds import KINDS, SINGLE, People, score

Say = Callable[[str], None]
COMPARED_AT = 1e-3
"""The false match rate among everybody at which groups are compared."""


def with_tail(plain: Counts, people: People) -> Counts:
    """The counts of one photo against one, with the tail of the same people's scores."""
    rows = tail.table(score(people).top)
    return msgspec.structs.replace(plain, tail=rows)


def template_curves(
    people: People, groups: Groups | None, say: Say
) -> tuple[list[TemplateCurve], WorstGroup | None]:
    """Every curve beside that of one photo against one, and the worst group if there are groups.

    Kinds with too few pairs for a threshold are left out.
    """
    found = _of(people, worst=False, say=say)
    worst = None if groups is None else worst_group(people, groups)
    if groups is None or worst is None:
        return found, worst
    return found + _of(people.only(groups.of == worst.name), worst=True, say=say), worst


def worst_group(people: People, groups: Groups) -> WorstGroup | None:
    """The group with the most false matches among its own people; None if none has enough pairs."""
    everybody = score(people).curve("", draws=1)
    if everybody is None:
        return None
    tau = threshold(everybody, COMPARED_AT, 1).tau
    rates: dict[str, float] = {}
    for name in groups.names:
        curve = score(people.only(groups.of == name)).curve("", draws=1)
        if curve is not None:
            rates[name] = curve.fmr(tau)
    if not rates:
        return None
    worst = max(rates, key=lambda name: rates[name])
    inside = people.only(groups.of == worst)
    return WorstGroup(
        worst, len(np.unique(inside.person)), len(inside.person), groups.labels, sorted(rates)
    )


def _of(people: People, worst: bool, say: Say) -> list[TemplateCurve]:
    found = []
    for kind in KINDS:
        if kind == SINGLE and not worst:
            continue
        say(f"counting {kind}{' in the worst group' * worst}")
        counted = score(people, kind).counted()
        if counted is not None:
            found.append(TemplateCurve(kind.photos, kind.visit, worst, counted))
    return found
