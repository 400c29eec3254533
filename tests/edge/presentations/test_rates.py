"""APCER and BPCER count what they say, with intervals over people."""

from __future__ import annotations

import pytest

from ostiary.edge.core.scores.metrics import Rate, eer, proportion
from ostiary.edge.presentations import rates
from ostiary.edge.presentations.rates import ALL, APCER, BPCER, WORST, PadEvaluation
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.presentations.tracing import Trace
from tests.edge.presentations.made_up import DEAD, LIVE, RULES, STIFF, WEAK, made, recording

Shown = list[tuple[Recording, Trace]]


def evaluated(shown: Shown, windows_s: float | None = None) -> PadEvaluation:
    recordings, traces = zip(*shown, strict=True)
    seen = rates.replayed(recordings, traces, RULES, 1.6, windows_s)
    return rates.evaluate(seen, 1.6, windows_s)


def living(person: str, *values: float | None, light: str = "", group: str = "") -> Shown:
    one = recording(f"live-{person}-{light}{group}", person, light=light, group=group)
    return [(one, made(values * 8))]


def attack(person: str, attack_type: str, passive: float, moved: float = 0.5) -> Shown:
    one = recording(f"{attack_type}-{person}", person, attack_type)
    return [(one, made([passive] * 8, moved))]


def test_errors_are_counted_by_kind_type_light_and_group() -> None:
    found = evaluated(
        living("a", LIVE, light="dim", group="tall")
        + living("b", WEAK, light="dim")
        + living("c", DEAD, light="day")
        + living("d", LIVE, light="day")
        + attack("a", "print", DEAD)
        + attack("b", "print", LIVE)
        + attack("a", "phone", LIVE, STIFF)
        + attack("b", "phone", WEAK)
        + attack("c", "phone", LIVE)
        + attack("d", "phone", DEAD)
    )
    assert found.worst == "print"
    values = {(row.measure, row.of): row.rate.value for row in found.rates}
    assert values == {
        (APCER, ALL): pytest.approx(2 / 6),
        (APCER, f"{WORST}: print"): 0.5,
        (APCER, "print"): 0.5,
        (APCER, "phone"): 0.25,
        (BPCER, ALL): 0.5,
        (BPCER, "light day"): 0.5,
        (BPCER, "light dim"): 0.5,
        (BPCER, "group tall"): 0.0,
        (rates.ATTACK_VISITS, ALL): pytest.approx(2 / 6),
        (rates.LIVING_VISITS, ALL): 0.5,
    }
    row = found.rate(APCER)
    assert (row.presentations, row.verdicts, row.people, row.undecided) == (6, 6, 4, 1)
    assert found.rate(BPCER).undecided == 1
    assert 0 <= row.rate.low < row.rate.value < row.rate.high <= 1


def test_an_undecided_person_is_kept_out_and_an_undecided_attack_is_not_let_in() -> None:
    shown = living("a", None, LIVE, None, None) + attack("a", "print", WEAK)
    found = evaluated(shown)
    bona_fide, print_ = found.rate(BPCER), found.rate(APCER)
    assert (bona_fide.rate.value, bona_fide.undecided) == (1.0, 1)
    assert (print_.rate.value, print_.undecided) == (0.0, 1)


def test_windows_give_several_verdicts_of_one_presentation() -> None:
    one = [(recording("a", "a"), made([LIVE] * 4 + [DEAD] * 4 + [LIVE] * 8))]
    row = evaluated(one, 2.0).rate(BPCER)
    assert (row.presentations, row.verdicts, row.rate.value) == (1, 4, 0.25)


def test_the_interval_is_over_people() -> None:
    """Ten recordings of one person say no more of others than one."""
    few = rates.over_people(["a"] * 10 + ["b"] * 10, [[True]] * 10 + [[False]] * 10)
    assert few == Rate(0.5, 0.0, 1.0)
    many = rates.over_people([str(n) for n in range(200)], [[n % 2 == 0] for n in range(200)])
    assert 0.4 < many.low < 0.5 < many.high < 0.6


def test_no_error_is_no_proof_that_there_is_none() -> None:
    nobody = rates.over_people(["a", "b", "c"], [[False, False]] * 3)
    assert nobody.value == 0.0
    assert nobody.low == pytest.approx(0.0)
    assert nobody.high == proportion(0, 3).high
    assert nobody.high > 0.5
    assert rates.over_people(["a"], [[True, False]]).low < 0.5


def test_the_equal_error_rate_is_where_both_errors_are_as_frequent() -> None:
    assert eer([2.0, 3.0, 4.0], [0.0, 1.0, 1.5]) == 0.0
    assert eer([1.0, 3.0, 4.0, 5.0], [0.0, 0.5, 0.7, 2.0]) == 0.25
    assert eer([0.0], [1.0]) == 1.0
    apart = evaluated(living("a", LIVE) + attack("a", "print", DEAD))
    assert [(one.kind, one.eer) for one in apart.scores] == [("passive", 0.0), ("motion", 0.5)]


def test_without_attacks_there_is_no_apcer() -> None:
    found = evaluated(living("a", LIVE))
    assert (found.worst, found.scores) == ("", [])
    assert {row.measure for row in found.rates} == {BPCER, rates.LIVING_VISITS}
    with pytest.raises(KeyError):
        found.rate(APCER)
