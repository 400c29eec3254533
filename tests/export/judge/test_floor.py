"""The gate has a floor: a float encoder that recognises too few people does not pass."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.runtime.det import DetFile
from ostiary.export.graphs import normal_form
from ostiary.export.int8 import calibrate, quantize
from ostiary.export.judge import floor
from ostiary.export.judge.gate import Encoders, measure
from ostiary.export.plan import recipe
from ostiary.export.records.results import Compared, Gate, GateLimits, OpenSetRow
from tests.support.export import measured
from tests.support.export.made_up import SPEC, crops, normalised
from tests.support.export.measured import FLOAT, GRID

QUIET = lambda *a: None  # noqa: E731
UNMEASURED = (
    "recognises an unknown share of enrolled people at K=100 and FPIR 0.01: not measured, too few"
    " people"
)


def curve(tar: float, impostors: int = 200_000) -> DetFile:
    """A curve on which this share of 1,000 genuine pairs is above every impostor pair but 1e-3."""
    low = GRID < 0.5
    strangers = np.where(low, impostors, impostors // 1000)
    people = np.where(low, 0, round(1000 * (1 - tar)))
    counts = msgspec.structs.replace(
        measured.counted(0),
        impostors=impostors,
        genuines=1000,
        impostor_at_or_above=strangers.tolist(),
        genuine_below=people.tolist(),
    )
    return DetFile(FLOAT, "made up", 400, 1000, GRID.tolist(), counts)


def opened(fnir: float, k: int = 100) -> list[Compared]:
    rate = Rate(0.01, 0.0, 0.02)
    return [Compared("float_float", [], [OpenSetRow(k, 0.5, rate, Rate(fnir, 0, 1), 0.1)])]


def judged(tar: float = 0.95, fnir: float = 0.1, **limits: float) -> Gate:
    gate = measured.gate(compared=opened(fnir))
    return floor.judged(gate, curve(tar), GateLimits(**limits))  # type: ignore[arg-type]


def test_an_encoder_on_the_floor_passes() -> None:
    gate = judged(tar=0.9, fnir=0.15)
    assert (gate.passed, gate.weak, gate.headline) == (True, [], "passed")


def test_too_low_a_tar_is_weak_and_says_by_how_much() -> None:
    gate = judged(tar=0.419)
    assert gate.weak == ["recognises 41 % of people at FMR 1e-3, 90 % are needed"]
    assert (gate.passed, gate.faithful) == (False, True)
    assert gate.headline == "faithful, but recognises 41 % of people"


def test_too_high_a_fnir_is_weak_and_says_by_how_much() -> None:
    gate = judged(fnir=0.155)
    expected = "recognises 84 % of enrolled people at K=100 and FPIR 0.01, 85 % are needed"
    assert (gate.weak, gate.passed) == ([expected], False)
    assert gate.headline == "faithful, but recognises 84 % of enrolled people"


def test_what_is_just_below_does_not_read_as_if_it_met_the_limit() -> None:
    assert judged(tar=0.899).weak == ["recognises 89 % of people at FMR 1e-3, 90 % are needed"]


def test_what_could_not_be_measured_does_not_meet_the_floor() -> None:
    gate = floor.judged(measured.gate(compared=opened(0.0, k=300)), curve(1.0), GateLimits())
    assert (gate.passed, gate.weak) == (False, [UNMEASURED])
    gate = floor.judged(measured.gate(compared=[]), None, GateLimits())
    tar = "recognises an unknown share of people at FMR 1e-3: not measured, too few pairs"
    assert gate.weak == [tar, UNMEASURED]


def test_thirty_errors_must_stand_behind_the_tar() -> None:
    few = GateLimits(at_fmr=1e-4)
    assert "not measured, too few pairs" in floor.of_curve(curve(1.0, 200_000), few)[0]
    assert floor.of_curve(curve(1.0, 200_000), GateLimits(at_fmr=1e-3)) == []


def test_limits_of_nothing_ask_for_nothing() -> None:
    nothing = GateLimits(least_tar=0.0, most_fnir=1.0)
    assert floor.judged(measured.gate(compared=[]), None, nothing).passed
    assert judged(tar=0.02, least_tar=0.01).passed
    assert judged(fnir=0.9, most_fnir=0.9).passed


def test_int8_that_is_not_faithful_is_red_however_strong_float_is() -> None:
    failed = measured.gate(failures=["it loses .3"], compared=opened(0.1))
    gate = floor.judged(failed, curve(0.95), GateLimits())
    assert (gate.passed, gate.faithful, gate.headline) == (False, False, "failed")


def test_the_tar_is_that_of_a_loop_over_the_pairs() -> None:
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(0.65, 0.12, 2000), rng.normal(0.05, 0.1, 200_000)
    tau = next(t for t in GRID if (impostor >= t).sum() <= 1e-3 * len(impostor))
    tar = sum(score >= tau for score in genuine) / len(genuine)
    det = DetFile(FLOAT, "made up", 400, 1000, GRID.tolist(), measured.counted(0))
    assert floor.of_curve(det, GateLimits(least_tar=tar)) == []
    assert floor.of_curve(det, GateLimits(least_tar=tar + 1e-9)) != []


def test_a_gate_recorded_before_there_was_a_floor_is_read_and_gets_one() -> None:
    known = msgspec.to_builtins(measured.gate(compared=opened(0.9)))
    del known["weak"]
    for name in ("least_tar", "at_fmr", "most_fnir"):
        del known["limits"][name]
    gate = msgspec.json.decode(msgspec.json.encode(known), type=Gate)
    assert (gate.passed, gate.weak, gate.limits) == (True, [], GateLimits())
    assert not floor.judged(gate, curve(0.95), gate.limits).passed


@pytest.mark.parametrize("name", recipe.shipped())
def test_the_shipped_recipes_are_far_above_the_floor(name: str) -> None:
    recorded = recipe.load(name).recorded
    assert recorded.gate is not None
    strict = GateLimits(least_tar=0.97, most_fnir=0.06)
    gate = floor.judged(recorded.gate, recorded.curve, strict)
    assert (gate.weak, gate.passed) == ([], True)
    assert gate.limits.int8_int8 == recorded.gate.limits.int8_int8, "int8 was held against these"


def test_the_gate_judges_the_float_encoder_by_its_floor() -> None:
    """100 people: half of them are too few to enroll 100, and the floor is then not met."""
    model = normalised()
    table = calibrate.calibrate(model, SPEC, crops(80, 1, seed=5), "x", "mse", False, QUIET)
    rounded = normal_form.to_bytes(quantize.quantize(model, table))
    encoders = Encoders(normal_form.to_bytes(model), rounded, SPEC, None)
    faces, limits = crops(people=100, images=4), GateLimits(fmrs=(1e-3,))
    gate, _ = measure(encoders, faces, "x", limits, QUIET)
    assert (gate.failures, gate.weak, gate.passed) == ([], [UNMEASURED], False)
    mild = msgspec.structs.replace(limits, most_fnir=1.0)
    assert measure(encoders, faces, "x", mild, QUIET)[0].passed
