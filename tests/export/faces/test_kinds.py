"""Scores of each kind of comparison, against naive loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ostiary.edge.core.faces.tracking import fuse
from ostiary.edge.core.types import Floats
from ostiary.edge.runtime.det import MIN_IMPOSTORS
from ostiary.export.faces.kinds import (
    KINDS,
    LEAST_LOOKS,
    MOST_LOOKS,
    SINGLE,
    Kind,
    People,
    fuse_sets,
    score,
    sets,
    visit_scores,
    visits,
)
from tests.support.export.made_up_people import people

IMAGES = [1, 2, 3, 4, 5, 7, 8]


def mixed(seed: int = 0, crossed: bool = False) -> People:
    """People with one to eight images, in no order; probes unlike templates if `crossed`."""
    whole = people(len(IMAGES), max(IMAGES), seed)
    kept = np.concatenate([n * max(IMAGES) + np.arange(count) for n, count in enumerate(IMAGES)])
    rows = np.random.default_rng(seed).permutation(kept)
    probes = people(len(IMAGES), max(IMAGES), seed, noise=0.3).probes if crossed else whole.probes
    return People(whole.templates[rows], probes[rows], 100 + whole.person[rows])


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_sets_are_disjoint_of_one_person_each_and_as_many_as_there_can_be(
    size: int, seed: int
) -> None:
    person = mixed().person
    found = sets(person, size, seed)
    assert found.shape == (sum(count // size for count in IMAGES), size)
    assert len(np.unique(found)) == found.size
    assert all(len(set(person[row].tolist())) == 1 for row in found)
    assert (sets(person, size, seed) == found).all()


def test_another_seed_gives_other_sets_and_nobody_gives_none() -> None:
    person = mixed().person
    assert (sets(person, 3, 0) != sets(person, 3, 1)).any()
    assert sets(person, 9).shape == (0, 9)
    assert sets(person[:0], 2).shape == (0, 2)


def test_a_set_is_fused_as_the_door_fuses_frames() -> None:
    given = mixed()
    chosen = sets(given.person, 3)
    wanted = [fuse(list(given.templates[row])) for row in chosen]
    assert fuse_sets(given.templates, chosen) == pytest.approx(np.array(wanted), abs=1e-6)


def loop(given: People, kind: Kind) -> tuple[list[float], list[tuple[float, int, int]]]:
    """Genuine scores; and impostor scores with the template's and the probe's person."""
    genuine, impostor = [], []
    chosen = sets(given.person, kind.photos).tolist()
    if kind.visit:
        asked = [rows.tolist() for rows in visits(given.person)]
    else:
        asked = [[row] for row in range(len(given.person))]
    for template, probe in itertools.product(chosen, asked):
        if kind == SINGLE and template[0] > probe[0]:
            continue
        a = fuse(list(given.templates[template]))
        owner, asking = int(given.person[template[0]]), int(given.person[probe[0]])
        if owner != asking:
            impostor.append((highest_mean(a, given.probes[probe]), owner, asking))
        elif not kind.visit and not set(template) & set(probe):
            genuine.append(float(a @ given.probes[probe[0]]))
    if kind.visit:
        for template in chosen:
            mine = np.flatnonzero(given.person == given.person[template[0]])
            rest = [row for row in mine if row not in template]
            if rest:
                a = fuse(list(given.templates[template]))
                genuine.append(highest_mean(a, given.probes[rest]))
    return genuine, impostor


def highest_mean(template: Floats, probes: Floats) -> float:
    """The highest mean of the first scores of a visit, whatever their number."""
    scores = [float(template @ probe) for probe in probes]
    return max(sum(scores[:n]) / n for n in range(1, len(scores) + 1))


def test_a_visit_scores_what_the_mean_of_its_scores_ever_reaches() -> None:
    given = mixed()
    rows = visits(given.person)[-1]
    found = visit_scores(given.templates, given.probes[rows])
    wanted = [highest_mean(template, given.probes[rows]) for template in given.templates]
    assert found == pytest.approx(wanted, abs=1e-6)
    best = (given.templates @ given.probes[rows].T).max(1)
    assert (found <= best + 1e-6).all()
    assert (found < best - 1e-3).any()


def test_a_visit_is_all_photos_of_one_person_who_has_enough_in_a_random_order() -> None:
    person = mixed().person
    found = visits(person)
    assert sorted(map(len, found)) == [n for n in IMAGES if n >= LEAST_LOOKS]
    assert all(len(set(person[rows].tolist())) == 1 for rows in found)
    assert len(np.unique(np.concatenate(found))) == sum(map(len, found))
    again = visits(person, seed=1)
    assert any((a != b).any() for a, b in zip(found, again, strict=True))
    assert [len(rows) for rows in visits(np.zeros(MOST_LOOKS + 9, np.int64))] == [MOST_LOOKS]


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_template_meets_every_probe_that_shares_no_photo_with_it(
    kind: Kind, crossed: bool
) -> None:
    given = mixed(crossed=crossed)
    found = score(given, kind)
    genuine, impostor = loop(given, kind)
    assert np.sort(found.genuine) == pytest.approx(sorted(genuine), abs=1e-6)
    scores = sorted(one for one, _, _ in impostor)
    assert np.sort(found.impostor) == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_photo_is_never_compared_with_itself(kind: Kind) -> None:
    """Each image is orthogonal to all others: any genuine score would be of a shared photo."""
    rows: Floats = np.eye(40, dtype=np.float32)
    found = score(People(rows, rows, np.arange(40) // 8), kind)
    assert len(found.genuine) > 0
    assert np.abs(found.genuine).max() < 1e-6


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_highest_scores_come_with_their_people(kind: Kind) -> None:
    given = mixed(crossed=True)
    top, (_, impostor) = score(given, kind).top, loop(given, kind)
    assert top.impostors == len(impostor)
    kept = sorted(impostor, reverse=True)[: len(top.scores)]
    assert len(kept) == min(300, len(impostor))
    assert top.scores == pytest.approx([one for one, _, _ in kept], abs=1e-6)
    assert (np.diff(top.scores) <= 0).all()
    asked = np.array([rows[0] for rows in visits(given.person)])
    asked = asked if kind.visit else np.arange(len(given.person))
    chosen = sets(given.person, kind.photos)[:, 0]
    everybody = np.unique(np.r_[given.person[chosen], given.person[asked]])
    named = {
        (round(float(s), 4), *everybody[pair].tolist())
        for s, pair in zip(top.scores, top.people, strict=True)
    }
    wanted = {(round(s, 4), owner, asking) for s, owner, asking in kept}
    assert len(named & wanted) >= 0.95 * len(wanted), "but for rounding, and ties at the end"
    for counted, rows in ((top.templates, chosen), (top.probes, asked)):
        assert counted.tolist() == [int((given.person[rows] == one).sum()) for one in everybody]


def test_too_few_pairs_have_no_curve() -> None:
    few, enough = (score(people(number, 2, 0)) for number in (120, 130))
    assert len(few.impostor) < MIN_IMPOSTORS < len(enough.impostor)
    assert (few.counted(draws=5), few.curve("it")) == (None, None)
    counted, curve = enough.counted(draws=5), enough.curve("it", draws=5)
    assert counted is not None
    assert curve is not None
    assert (counted.impostors, counted.genuines) == (260 * 258 // 2, 130)
    assert curve.fmr(0.5) == pytest.approx((enough.impostor >= 0.5).mean())
    assert curve.tail is not None
    assert len(counted.tail) == len(curve.tail.fmr) > 0
    alone = score(people(300, 1, 0))
    assert alone.counted() is None, "there is no genuine pair"


def test_a_kind_names_itself() -> None:
    assert str(SINGLE) == "templates of 1, single photos"
    assert str(Kind(3, visit=True)) == "templates of 3, visits"
