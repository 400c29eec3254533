"""Rules of presentation attack detection, fitted on living people only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.pad import motion
from ostiary.edge.core.pad.liveness import MOTION, PASSIVE
from ostiary.edge.core.pad.rules import CueRules, PadRules, Presentation, Scale
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.errors import RecordingError
from ostiary.edge.presentations import replay
from ostiary.edge.presentations.rates import over_people
from ostiary.edge.presentations.replay import Course
from ostiary.edge.presentations.tracing import Trace
from ostiary.edge.runtime.bundle import FLOAT, Bundle
from ostiary.edge.runtime.heads.pad_file import SCHEMA, CuesEntry, PadFile, ScaleEntry

FEWEST, FEW = 5, 15
"""With fewer people nothing is fitted, and with few the BPCER may be far from the one asked: five
gave anything from .04 to .45 for .05 on Replay-Attack."""
FRAMES, PAIRS, APART_S, SPAN_S, PATIENCE_S = 3, 2, 0.5, 1.5, 3.0
WITHIN_S, EVERY_S = 1.6, 3.2
"""A score is over so many seconds, afresh each so many."""
PASSIVE_SHARE = 0.05
"""The passive cues' share of the BPCER asked, the rest is motion's. The passive model's errors are
those of a few people, whom it never knows in back light; motion's are spread over all."""
DRAWS, KEPT = 400, 0.1
"""A threshold is the 10 % point of its quantile over so many draws of people: nine of ten draws
keep the bound. Plain quantiles that asked for .05 gave .17 on other people of Replay-Attack."""
BELOW_ALL = 0.5
"""A score so far below every living person's is an attack at once."""
DIGITS = 6
"""Decimals in the file: those behind differ from processor to processor."""

Values = NDArray[np.float64]
ByPerson = Mapping[str, Sequence[Trace]]


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """The errors of a fit repeated without each person in turn, on that person: `bpcer`, over
    `verdicts` of `people`, of which `undecided` were neither."""

    bpcer: Rate
    people: int
    verdicts: int
    undecided: int


def models_of(bundle: Bundle, traces: Sequence[Trace]) -> dict[str, str]:
    """The SHA-256 of the models that the cues come from: the passive ones and the encoder."""
    names = {name for trace in traces for look in trace.looks for name in look.passive}
    hashes = bundle.manifest.model_hashes()
    return {name: hashes[name] for name in sorted({*names, FLOAT})}


def fit(people: ByPerson, bpcer: float, models: Mapping[str, str], data_set: str) -> PadFile:
    """The rules for a BPCER of `bpcer`, from the traces of living people.

    Raises RecordingError for fewer than FEWEST people, or if the recordings show too little.
    """
    if len(people) < FEWEST:
        raise RecordingError(*too_few(len(people)))
    return _fitted(people, bpcer, models, data_set)


def too_few(people: int) -> tuple[str, str]:
    """What to say, and what to do, if there are fewer than FEWEST people."""
    problem = f"{people} people are too few to fit thresholds on: expected {FEWEST} or more"
    return problem, f"record {FEW} people, each for ten seconds"


def _fitted(people: ByPerson, bpcer: float, models: Mapping[str, str], data_set: str) -> PadFile:
    looks = [look for some in people.values() for trace in some for look in trace.looks]
    passive = _scales([look.passive for look in looks])
    moved = _scales([look.moved for look in looks if look.moved is not None])
    scores = _window_scores(people, _open_rules(passive, moved))
    veto = _entry(moved, scores, MOTION, bpcer * (1 - PASSIVE_SHARE))
    alone = _entry(passive, scores, PASSIVE, bpcer * PASSIVE_SHARE)
    singles = [alone.rules().score(look.passive) for look in looks]
    return PadFile(
        schema=SCHEMA,
        models=dict(models),
        passive=alone,
        motion=veto,
        # No frame of these people starts the evidence over. At the .005 quantile of their frames
        # that cost .06 of other people their verdict.
        frame=round(min(singles), DIGITS),
        restart=round(min(singles), DIGITS),
        frames=FRAMES,
        pairs=PAIRS,
        apart_s=APART_S,
        span_s=SPAN_S,
        patience_s=PATIENCE_S,
        asked_bpcer=bpcer,
        data_set=data_set,
        people=len(people),
    )


def leave_one_out(
    people: ByPerson, bpcer: float, done: Callable[[int, int], None] = lambda done, total: None
) -> LeaveOneOut:
    """How the fit does on people that it has not seen. Raises RecordingError, as `fit` does."""
    names, errors, undecided = sorted(people), [], 0
    for number, name in enumerate(names, 1):
        others = {other: traces for other, traces in people.items() if other != name}
        rules = _fitted(others, bpcer, {}, "").rules()
        verdicts = [one.verdict(WITHIN_S) for one in _courses(people[name], rules)]
        errors.append([said is not Presentation.BONA_FIDE for said in verdicts])
        undecided += verdicts.count(Presentation.UNDECIDED)
        done(number, len(names))
    rate = over_people(names, errors)
    return LeaveOneOut(rate, len(names), sum(map(len, errors)), undecided)


def _scales(cues: Sequence[Mapping[str, float]]) -> dict[str, ScaleEntry]:
    """The mean and standard deviation of each cue over living faces."""
    if not cues:
        raise RecordingError(
            "no two frames of these recordings can be compared",
            f"expected usable faces that are {APART_S:g} to {motion.LONGEST_S:g} s apart",
        )
    found = {}
    for name in cues[0]:
        values = np.array([one[name] for one in cues], np.float64)
        std = max(float(values.std()), 10.0**-DIGITS)
        found[name] = ScaleEntry(round(float(values.mean()), DIGITS), round(std, DIGITS))
    return found


def _open_rules(passive: Mapping[str, ScaleEntry], moved: Mapping[str, ScaleEntry]) -> PadRules:
    """Rules that call every face bona fide that was looked at often enough."""
    alone, veto = (
        CueRules({name: Scale(one.mean, one.std) for name, one in scales.items()}, -np.inf, -np.inf)
        for scales in (passive, moved)
    )
    return PadRules(alone, veto, -np.inf, -np.inf, FRAMES, PAIRS, APART_S, SPAN_S, PATIENCE_S)


def _window_scores(people: ByPerson, rules: PadRules) -> dict[str, list[Course]]:
    """The courses of each person's windows in which a face was looked at often enough."""
    found = {}
    for name in sorted(people):
        judged = [
            one
            for one in _courses(people[name], rules)
            if one.verdict(WITHIN_S) is Presentation.BONA_FIDE
        ]
        if judged:
            found[name] = judged
    if len(found) < FEWEST - 1:
        raise RecordingError(
            f"only {len(found)} people show a usable face often enough for a verdict",
            f"expected {FRAMES} usable frames within {WITHIN_S:g} s, {APART_S:g} s apart",
        )
    return found


def _courses(traces: Sequence[Trace], rules: PadRules) -> list[Course]:
    each = partial(replay.courses, rules=rules, every_s=EVERY_S, within_s=WITHIN_S)
    return [course for trace in traces for course in each(trace)]


def _entry(
    scales: dict[str, ScaleEntry], judged: Mapping[str, Sequence[Course]], kind: str, share: float
) -> CuesEntry:
    """The scales and thresholds of one kind of cues, of which `share` of the living may fail."""
    scores = [np.array([one.scores[kind] for one in some]) for some in judged.values()]
    least = float(min(some.min() for some in scores))
    live = round(bound(scores, share), DIGITS)
    return CuesEntry(scales, live, round(least - BELOW_ALL, DIGITS))


def bound(scores: Sequence[Values], share: float) -> float:
    """A threshold below which at most a `share` of the scores lie in nine of ten draws of people.
    `scores` has one array for each person."""
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWS):
        rows = rng.integers(0, len(scores), len(scores))
        drawn.append(np.quantile(np.concatenate([scores[row] for row in rows]), share))
    return float(np.quantile(drawn, KEPT))
