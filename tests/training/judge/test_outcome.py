"""What a training is worth, and what the door must say of it."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from ostiary.edge.core.scores.metrics import Rate
from ostiary.training.judge import evaluation, outcome
from ostiary.training.judge.evaluation import Evaluation
from tests.support.training import judged


def drawn(value: float, drawn_eers: list[float]) -> Evaluation:
    rate = Rate(value, min(drawn_eers), max(drawn_eers))
    return msgspec.structs.replace(judged.best(), eer=rate, drawn=drawn_eers)


HIGH, LOW = drawn(0.3, [0.29, 0.3, 0.31]), drawn(0.1, [0.09, 0.1, 0.11])
MIXED = drawn(0.29, [0.2, 0.4, 0.2])


def test_a_proven_gain_needs_no_warning() -> None:
    assert outcome.warnings([HIGH, LOW]) == []


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (
            [HIGH, MIXED],
            "it is UNPROVEN that training made the encoder better: the EER went from 0.300 to 0.290"
            " on 10 people set aside, and the interval of the difference holds 0",
        ),
        (
            [LOW, HIGH],
            "training made the encoder WORSE: the EER went from 0.100 to 0.300 on 10 people set"
            " aside",
        ),
    ],
)
def test_what_is_not_proven_is_said_with_its_figures(pair: list[Evaluation], expected: str) -> None:
    assert outcome.warnings(pair) == [expected]


def test_of_few_people_nothing_is_proven() -> None:
    person = np.repeat([0, 1], 10)
    both = [
        evaluation.measure(name, judged.embeddings(spread, 1, person), person)
        for name, spread in {"untrained": 2.5, "best": 0.1}.items()
    ]
    (warning,) = outcome.warnings(both)
    assert warning.startswith("it is UNPROVEN")
    assert warning.endswith("on 2 people set aside, and an interval needs at least 10 people")


def test_the_data_set_that_heads_the_report_decides() -> None:
    elsewhere = [msgspec.structs.replace(one, data_set="as they are") for one in (HIGH, MIXED)]
    assert outcome.warnings([HIGH, LOW, *elsewhere]) == []
