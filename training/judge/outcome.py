"""What a training is worth: the first and the last encoder, compared on each data set."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ostiary.edge.core.scores.metrics import Rate
from ostiary.training.judge import evaluation
from ostiary.training.judge.bootstrap import LEAST_PEOPLE
from ostiary.training.judge.evaluation import Evaluation, Evaluations


class DataSetOutcome(msgspec.Struct, frozen=True):
    """The effect of training on one data set: the first and the last encoder."""

    data_set: str
    before: Evaluation
    after: Evaluation
    fall: Rate | None
    """The fall of the EER; None for a single encoder, or for two measured on different photos."""

    @property
    def word(self) -> str:
        """ "better" or "worse" only if the whole interval of the fall agrees; else neither."""
        if self.fall is None:
            return "measured"
        return "better" if self.fall.low > 0 else "worse" if self.fall.high < 0 else "unproven"


def outcomes(held: Evaluations) -> list[DataSetOutcome]:
    """One outcome per data set, in the order of the file."""
    return [
        DataSetOutcome(
            name, some[0], some[-1], evaluation.fall(some[0], some[-1]) if len(some) > 1 else None
        )
        for name, some in held.data_sets().items()
    ]


def warnings(evaluations: Sequence[Evaluation]) -> list[str]:
    """What the encoder's description, its bundle and the door must say of the training.

    Empty if the training certainly made the encoder better on the first data set, whose outcome
    heads the report.
    """
    first = outcomes(Evaluations(evaluations=list(evaluations)))[0]
    if first.word == "better":
        return []
    before, after, people = first.before.eer.value, first.after.eer.value, first.after.people
    figures = f"the EER went from {before:.3f} to {after:.3f} on {people} people set aside"
    if first.word == "worse":
        return [f"training made the encoder WORSE: {figures}"]
    why = "the interval of the difference holds 0"
    if people < LEAST_PEOPLE:
        why = f"an interval needs at least {LEAST_PEOPLE} people"
    return [f"it is UNPROVEN that training made the encoder better: {figures}, and {why}"]
