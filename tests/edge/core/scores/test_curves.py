"""Which curve sets tau: by the photos of each template, and for a photo or a visit."""

from __future__ import annotations

import pytest

from ostiary.edge.core.scores.calibration import threshold, threshold_over
from ostiary.edge.core.scores.curves import Curves
from tests.support.fakes import curve

ONE, TWO, THREE = curve(), curve(start=0.05), curve(start=0.1)
VISIT = {photos: curve(start=0.1 + photos / 20) for photos in (1, 2, 3)}
ALL = Curves({1: ONE, 2: TWO, 3: THREE}, VISIT)


def test_each_template_counts_with_the_curve_of_its_photos() -> None:
    given = {0: 0, 1: 50, 2: 7, 3: 3}
    parts = [(ONE, 50), (TWO, 7), (THREE, 3)]
    assert ALL.identify(0.01, given, visit=False) == threshold_over(parts, 0.01)
    visit = [(VISIT[1], 50), (VISIT[2], 7), (VISIT[3], 3)]
    assert ALL.identify(0.01, given, visit=True) == threshold_over(visit, 0.01)


def test_a_claim_takes_the_strictest_kind_that_is_enrolled() -> None:
    assert ALL.claim(0.001, {1: 50, 2: 1, 3: 0}, visit=False) == threshold(TWO, 0.001, 1)
    assert ALL.claim(0.001, {1: 50}, visit=False) == threshold(ONE, 0.001, 1)
    assert ALL.claim(0.001, {1: 50}, visit=True) == threshold(VISIT[1], 0.001, 1)


@pytest.mark.parametrize("strictest", [1, 2, 3])
def test_an_unknown_number_of_photos_counts_as_the_strictest_kind(strictest: int) -> None:
    single = {photos: curve(start=0.1 * (photos == strictest)) for photos in (1, 2, 3)}
    curves = Curves(single, {})
    wanted = threshold(single[strictest], 0.01, 20)
    assert curves.identify(0.01, {0: 20, 1: 0}, visit=False) == wanted
    mixed = curves.identify(0.01, {0: 20, 2: 5}, visit=False)
    assert mixed == threshold_over([(single[strictest], 20), (single[2], 5)], 0.01)
    claimed = threshold(single[strictest], 0.001, 1)
    assert curves.claim(0.001, {0: 1, 1: 20}, visit=False) == claimed


def test_nobody_enrolled_gives_tau_for_one() -> None:
    for visit, made in ((False, ONE), (True, VISIT[1])):
        found = ALL.identify(0.01, {0: 0, 1: 0, 2: 0, 3: 0}, visit)
        assert found == threshold(made, 0.01, 0)
        assert found.tau == threshold(made, 0.01, 1).tau
    assert ALL.claim(0.001, {}, visit=False) == threshold(THREE, 0.001, 1)


def test_a_visit_falls_back_to_the_curves_of_single_photos() -> None:
    curves = Curves({1: ONE, 2: TWO}, {})
    given = {1: 3, 2: 4}
    assert curves.identify(0.01, given, True) == curves.identify(0.01, given, False)
    assert curves.claim(0.001, given, True) == curves.claim(0.001, given, False)


def test_a_kind_that_was_not_measured_falls_back_to_the_most_photos_measured() -> None:
    for single, wanted in (({1: ONE}, ONE), ({1: ONE, 2: TWO}, TWO)):
        curves = Curves(single, {})
        assert curves.identify(0.01, {3: 5}, False) == threshold(wanted, 0.01, 5)
        assert curves.claim(0.001, {3: 5}, False) == threshold(wanted, 0.001, 1)
    assert ALL.identify(0.01, {7: 5}, False) == threshold(THREE, 0.01, 5), "three or more"
