"""Error rates of presentation attack detection over recordings, with intervals over people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from ostiary.edge.core.pad.liveness import MOTION, PASSIVE
from ostiary.edge.core.pad.rules import PadRules, Presentation
from ostiary.edge.core.scores.metrics import Rate, eer, proportion, rate_over
from ostiary.edge.presentations import replay
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.presentations.replay import Course
from ostiary.edge.presentations.tracing import Trace

APCER, BPCER = "APCER", "BPCER"
ATTACK_VISITS = "attacks passed, whole visit"
LIVING_VISITS = "living passed within 3 s"
GRANT_S = 3.0
"""How long somebody waits before a door without becoming impatient."""
ALL, WORST = "all", "worst type"


class PadRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rate, its 95 % interval over people, and what it is a share `of`: `verdicts` of `people`
    people in `presentations`. `undecided` of the verdicts were neither bona fide nor attack; None
    if it is a share of grants."""

    measure: str
    of: str
    rate: Rate
    presentations: int
    verdicts: int
    people: int
    undecided: int | None


class PadScores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How well the scores of one kind of cues, at the time of the verdicts, tell living people from
    attacks: their equal error rate."""

    kind: str
    eer: float


class PadEvaluation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How rules do on recordings: a verdict after `within_s`, afresh each `windows_s` if that is
    not None. `worst` is the attack type with the highest APCER; empty without attacks."""

    within_s: float
    windows_s: float | None
    rates: list[PadRate]
    worst: str
    scores: list[PadScores]

    def rate(self, measure: str, of: str = ALL) -> PadRate:
        """One of the rates. Raises KeyError."""
        for row in self.rates:
            if (row.measure, row.of) == (measure, of):
                return row
        raise KeyError(f"{measure}, {of}")


@dataclass(frozen=True, slots=True)
class Replayed:
    """A presentation, the courses of its fresh starts, and that of the whole visit."""

    recording: Recording
    courses: Sequence[Course]
    visit: Course


def replayed(
    recordings: Sequence[Recording],
    traces: Sequence[Trace],
    rules: PadRules,
    within_s: float,
    windows_s: float | None,
) -> list[Replayed]:
    """Presentations under some rules."""
    return [
        Replayed(
            one,
            replay.courses(trace, rules, windows_s, within_s),
            replay.visit(trace, rules, within_s),
        )
        for one, trace in zip(recordings, traces, strict=True)
    ]


def evaluate(shown: Sequence[Replayed], within_s: float, windows_s: float | None) -> PadEvaluation:
    """All rates of some presentations. An undecided bona fide counts as an error, because that
    person is not let in; an undecided attack does not, because it is not let in either."""
    living = [one for one in shown if not one.recording.is_attack]
    attacks = [one for one in shown if one.recording.is_attack]
    types = _rates(APCER, attacks, within_s, lambda one: one.recording.type)
    worst = max(types, key=lambda row: row.rate.value, default=None)
    rates = _rates(APCER, attacks, within_s)
    if worst is not None:
        rates.append(msgspec.structs.replace(worst, of=f"{WORST}: {worst.of}"))
    rates += types
    rates += _rates(APCER, attacks, within_s, _group)
    rates += _rates(BPCER, living, within_s)
    rates += _rates(BPCER, living, within_s, _light)
    rates += _rates(BPCER, living, within_s, _group)
    rates += _visits(attacks, living)
    scores = [one for kind in (PASSIVE, MOTION) for one in _scores(kind, living, attacks)]
    return PadEvaluation(within_s, windows_s, rates, worst.of if worst else "", scores)


Label = Callable[[Replayed], str]


def _light(one: Replayed) -> str:
    return f"light {one.recording.light}" if one.recording.light else ""


def _group(one: Replayed) -> str:
    return f"group {one.recording.group}" if one.recording.group else ""


def _rates(
    measure: str, shown: Sequence[Replayed], within_s: float, label: Label = lambda one: ALL
) -> list[PadRate]:
    """The error rates by label; presentations without one are left out."""
    rows = []
    for of in sorted({label(one) for one in shown} - {""}):
        chosen = [one for one in shown if label(one) == of]
        verdicts = [[course.verdict(within_s) for course in one.courses] for one in chosen]
        errors = [
            [(said is Presentation.BONA_FIDE) == one.recording.is_attack for said in some]
            for one, some in zip(chosen, verdicts, strict=True)
        ]
        undecided = sum(some.count(Presentation.UNDECIDED) for some in verdicts)
        rows.append(counted(measure, of, [one.recording for one in chosen], errors, undecided))
    return rows


def _visits(attacks: Sequence[Replayed], living: Sequence[Replayed]) -> list[PadRate]:
    """The rates of whole visits."""
    rows = []
    for measure, shown, within_s in (
        (ATTACK_VISITS, attacks, np.inf),
        (LIVING_VISITS, living, GRANT_S),
    ):
        passed = [[one.visit.passes(within_s)] for one in shown]
        unsure = sum(one.visit.verdict(within_s) is Presentation.UNDECIDED for one in shown)
        those = [one.recording for one in shown]
        rows += [counted(measure, ALL, those, passed, unsure)] if shown else []
    return rows


def counted(
    measure: str,
    of: str,
    shown: Sequence[Recording],
    hits: Sequence[Sequence[bool]],
    undecided: int | None,
) -> PadRate:
    """The share of hits, some for each of these presentations, of which there must be one."""
    people = [one.person for one in shown]
    rate = over_people(people, hits)
    verdicts = sum(map(len, hits))
    return PadRate(measure, of, rate, len(shown), verdicts, len(set(people)), undecided)


def over_people(people: Sequence[str], hits: Sequence[Sequence[bool]]) -> Rate:
    """The share of hits, some for each presentation of a person, with a 95 % interval.

    The interval is a bootstrap over people. If all have the same share, which one person has and
    people without a hit or without a miss, draws would not differ: it is Wilson's then, with a
    trial for each person.
    """
    names = sorted(set(people))
    of = {name: at for at, name in enumerate(names)}
    counts, trials = np.zeros(len(names)), np.zeros(len(names))
    for person, some in zip(people, hits, strict=True):
        counts[of[person]] += sum(some)
        trials[of[person]] += len(some)
    share = float(counts.sum() / trials.sum())
    if np.ptp(counts / trials) > 0:
        return rate_over(counts, trials)
    bounds = proportion(round(share * len(names)), len(names))
    return Rate(share, min(bounds.low, share), max(bounds.high, share))


def _scores(kind: str, living: Sequence[Replayed], attacks: Sequence[Replayed]) -> list[PadScores]:
    """The scores of one kind; none if nobody has any."""
    live, attack = scores_of(kind, living), scores_of(kind, attacks)
    return [PadScores(kind, eer(live, attack))] if live and attack else []


def scores_of(kind: str, shown: Sequence[Replayed]) -> list[float]:
    """The scores of one kind of cues at the time of each verdict that had any."""
    return [one.scores[kind] for each in shown for one in each.courses if kind in one.scores]
