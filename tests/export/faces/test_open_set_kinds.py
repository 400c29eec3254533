"""Open-set tests of each kind of template: what was asked of tau is what is measured."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.errors import PhotoError
from ostiary.export.faces import kinds, open_set
from ostiary.export.faces.groups import Groups
from ostiary.export.faces.kinds import Kind, People
from ostiary.export.faces.open_set import Search, with_curve
from tests.support.export.made_up_people import people

ASKED, K = 0.05, 60
PEOPLE = people(500, 4, 0, looks=10, noise=0.13)
SEARCH = Search((K,), ASKED, draws=12, resplit=True)


def curve(given: People, kind: Kind = kinds.SINGLE) -> DetCurve:
    found = kinds.score(given, kind).curve("", draws=5)
    assert found is not None
    return found


@pytest.mark.parametrize("photos", [1, 2, 3])
def test_fpir_asked_is_fpir_measured_for_templates_of_so_many_photos(photos: int) -> None:
    (row,) = open_set.open_set(PEOPLE, dataclasses.replace(SEARCH, kind=Kind(photos)))
    assert (row.k, row.photos, row.visit, row.wanted) == (K, photos, False, ASKED)
    assert ASKED / 2 < row.fpir.value < ASKED * 1.5
    assert row.fpir.low <= row.fpir.value <= row.fpir.high


def test_the_curve_of_single_photos_lets_in_more_with_templates_of_three() -> None:
    """Three photos have less noise: strangers score higher against them as well."""
    mean, own = curve(PEOPLE), curve(PEOPLE, Kind(3))
    strangers = people(500, 4, 1, looks=10, noise=0.13)
    search = Search((K,), ASKED, draws=12, kind=Kind(3))
    (by_mean,), (by_own,) = (with_curve(strangers, search, one) for one in (mean, own))
    assert by_mean.fpir.value > 1.5 * ASKED > ASKED * 1.2 > by_own.fpir.value > ASKED / 2
    assert by_mean.tau < by_own.tau


def test_more_photos_and_visits_find_more_of_the_enrolled() -> None:
    whole = people(300, 6, 2, looks=10, noise=0.13)
    rows = {
        kind: open_set.open_set(whole, Search((K,), ASKED, draws=4, kind=kind))[0]
        for kind in (Kind(1), Kind(2), Kind(3), Kind(3, visit=True))
    }
    fnir = [row.fnir.value for row in rows.values()]
    assert fnir == sorted(fnir, reverse=True)
    assert rows[Kind(3, visit=True)].visit


def test_resplit_draws_other_people_each_time() -> None:
    def taus(resplit: bool) -> list[float]:
        searches = [Search((K,), ASKED, draws=draws, resplit=resplit) for draws in (1, 3)]
        return [open_set.open_set(PEOPLE, search)[0].tau for search in searches]

    fixed, split = taus(resplit=False), taus(resplit=True)
    assert fixed[0] == pytest.approx(fixed[1])
    assert split[0] == fixed[0]
    assert split[1] != pytest.approx(split[0]), "tau of later draws is another"
    assert split == taus(resplit=True), "the same seed, the same draws"


def test_a_bundles_curve_is_judged_on_all_people() -> None:
    """With half of the people there are too few for this K."""
    assert open_set.open_set(PEOPLE, Search((300,), ASKED, draws=2)) == []
    (row,) = with_curve(PEOPLE, Search((300,), ASKED, draws=2), curve(PEOPLE))
    assert (row.k, row.photos) == (300, 1)
    assert with_curve(PEOPLE, Search((500,), ASKED, draws=2), curve(PEOPLE)) == []


def grouped() -> tuple[People, Groups]:
    """Two groups of 200 people: those who are alike, and others."""
    rows = np.vstack(
        [
            people(200, 3, 3, looks=10, noise=0.13, alike=0.5).templates,
            people(200, 3, 4, looks=10, noise=0.13).templates,
        ]
    )
    of = np.repeat(["alike", "others"], 600)
    return People(rows, rows, np.arange(400).repeat(3)), Groups(of, "made up")


def test_in_a_gallery_of_one_group_only_its_own_tau_keeps_the_rate() -> None:
    whole, groups = grouped()
    search = Search((40,), ASKED, draws=8, resplit=True, gallery_of="alike")
    (everybody,), (own,) = (
        open_set.open_set(whole, dataclasses.replace(search, tau_of=name), groups)
        for name in ("", "alike")
    )
    assert (everybody.gallery_of, everybody.tau_of, own.tau_of) == ("alike", "", "alike")
    assert everybody.fpir.value > 1.5 * ASKED
    assert ASKED / 2 < own.fpir.value < ASKED * 1.5
    assert own.fnir.value > everybody.fnir.value, "the price"
    others = dataclasses.replace(search, gallery_of="others")
    assert open_set.open_set(whole, others, groups)[0].fpir.value < ASKED / 2


def test_people_of_two_groups_belong_to_none() -> None:
    whole, groups = grouped()
    mixed = Groups(np.where(np.arange(1200) % 300 == 0, "others", groups.of), "made up")
    search = Search((99, 100), ASKED, draws=1, gallery_of="alike")
    found = with_curve(whole, dataclasses.replace(search, sizes=(197, 198)), curve(whole), mixed)
    assert [row.k for row in found] == [197], "two of two hundred are left out, one must remain"


def test_a_group_that_is_too_small_for_a_curve_is_revisit() -> None:
    whole, groups = grouped()
    few = whole.only(np.arange(1200) >= 570)
    named = groups.only(np.arange(1200) >= 570)
    with pytest.raises(PhotoError, match="too few pairs of alike for a threshold"):
        open_set.open_set(few, Search((5,), ASKED, draws=1, tau_of="alike"), named)
    with pytest.raises(PhotoError, match="too few pairs of these people"):
        open_set.open_set(people(4, 1, 0), Search((1,), ASKED, draws=1))


def test_few_people_without_groups_are_measured_without_a_tail() -> None:
    (row,) = open_set.open_set(people(60, 2, 5), Search((10,), 0.1, draws=2))
    assert 0 < row.tau < 1
