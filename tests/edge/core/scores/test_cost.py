"""What a gallery's size costs the enrolled, and how it is told."""

from __future__ import annotations

import dataclasses
from itertools import takewhile

import pytest

from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.scores.cost import BEARABLE_FNIR, LARGEST_K, cost, unsupported
from ostiary.edge.core.scores.curves import Curves
from tests.support.fakes import curve

CURVES = Curves({1: curve(refused=0.38), 2: curve(start=0.02, refused=0.30)}, {})


def linear(curves: Curves, photos: int, fpir: float) -> int:
    """The largest K with a bearable FNIR, tried one after the other."""

    def bearable(k: int) -> bool:
        return curves.identify(fpir, {photos: k}, False).fnir <= BEARABLE_FNIR

    return max(takewhile(bearable, range(1, 1000)), default=0)


@pytest.mark.parametrize("fpir", [0.2, 0.05, 0.01, 0.0001])
def test_the_bearable_k_is_that_of_a_linear_search(fpir: float) -> None:
    found = cost(CURVES, fpir, 0.001, {1: 40})
    assert found.bearable_k == linear(CURVES, 1, fpir)
    assert found.bearable == (found.bearable_k >= 40)


def test_a_large_bearable_k_is_right_to_two_digits() -> None:
    found = cost(CURVES, 0.2, 0.001, {2: 40}).bearable_k
    fnir = [CURVES.identify(0.2, {2: int(found * by)}, False).fnir for by in (1, 1.02)]
    assert found > 200, "smaller ones are exact"
    assert fnir[0] <= BEARABLE_FNIR < fnir[1]


def test_there_may_be_no_bearable_k_or_no_end_of_it() -> None:
    assert cost(Curves({1: curve()}, {}), 0.01, 0.001, {1: 5}).bearable_k == 0
    assert cost(Curves({1: curve(refused=0)}, {}), 0.01, 0.001, {1: 5}).bearable_k >= LARGEST_K / 2


def test_the_cost_is_the_fnir_of_the_search_of_a_second_photo_and_of_a_claim() -> None:
    given = {0: 0, 1: 30, 2: 10, 3: 0}
    found = cost(CURVES, 0.01, 0.001, given)
    assert (found.k, found.fpir, found.fmr) == (40, 0.01, 0.001)
    assert found.fnir == CURVES.identify(0.01, given, False).fnir
    assert found.second_photo == CURVES.identify(0.01, {2: 40}, False).fnir
    assert found.second_photo < found.fnir
    assert found.by_card == CURVES.claim(0.001, given, False).fnir
    alone = cost(CURVES, 0.01, 0.001, {1: 40}).bearable_k
    assert alone < found.bearable_k < cost(CURVES, 0.01, 0.001, {2: 40}).bearable_k


def test_the_cost_is_told_of_visits_where_they_were_measured() -> None:
    both = Curves({1: curve(), 2: curve()}, {1: curve(refused=0.1)})
    assert cost(both, 0.01, 0.001, {1: 9}).fnir == both.identify(0.01, {1: 9}, True).fnir
    assert cost(both, 0.01, 0.001, {1: 9}).by_card == both.claim(0.001, {1: 9}, True).fnir
    assert cost(both, 0.01, 0.001, {1: 9}).second_photo is None


def test_an_empty_gallery_costs_what_one_template_does() -> None:
    empty, one = (cost(CURVES, 0.01, 0.001, given) for given in ({0: 0, 1: 0}, {1: 1}))
    assert empty == one
    assert one.k == 1


def test_the_cost_in_words() -> None:
    found = cost(CURVES, 0.01, 0.001, {1: 2000})
    assert found.text() == (
        "expected FNIR 20.1% for K = 2,000 at FPIR 0.01: too many refusals beyond K = 3; better:"
        " a second photo 16.5%, a card and 1:1 11.4% at FMR 0.001, or an encoder that"
        " recognises more"
    )
    without = dataclasses.replace(found, second_photo=None)
    assert "better: a card and 1:1 11.4%" in without.text()
    bearable = cost(CURVES, 0.01, 0.001, {1: 3})
    assert bearable.text() == "expected FNIR 9.5% for K = 3 at FPIR 0.01"


@pytest.mark.parametrize(
    ("tailed", "said"),
    [
        (
            True,
            "K = 1000000 at 0.01: fewer than 30 errors counted, a model of the tail gives tau"
            " 0.820; expected 0.0063, expected FNIR 82.0%",
        ),
        (
            False,
            "K = 1000000 at 0.01: fewer than 30 errors counted, no impostor pair reached tau 0.610;"
            " expected 0.95, expected FNIR 61.0%",
        ),
    ],
)
def test_an_unsupported_tau_says_what_stands_behind_it(tailed: bool, said: str) -> None:
    assert unsupported(threshold(curve(tailed=tailed), 0.01, 10**6)) == said
