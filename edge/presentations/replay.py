"""A trace judged by a door's rules: what the door would have said of a presentation, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ostiary.edge.core.pad.liveness import Liveness
from ostiary.edge.core.pad.motion import Still
from ostiary.edge.core.pad.rules import PadRules, Presentation
from ostiary.edge.presentations.tracing import Trace

JITTER_S = 1e-6
"""Times are sums of floats: what is less apart than this is at the same time."""
_NO_PICTURE = np.zeros((0, 0), np.uint8)
_NO_BOX = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class Course:
    """What a door says of a face that it began to look at `start_s` into a presentation.

    `live_s` and `attack_s` are the seconds from there to its first verdict of bona fide and of an
    attack, None without one. `scores` are those of its last verdict within the time asked for.
    """

    start_s: float
    live_s: float | None
    attack_s: float | None
    scores: Mapping[str, float]

    def verdict(self, within_s: float) -> Presentation:
        """Bona fide if it was that at any time within these seconds, otherwise what it was last."""
        if self.live_s is not None and self.live_s <= within_s + JITTER_S:
            return Presentation.BONA_FIDE
        if self.attack_s is not None and self.attack_s <= within_s + JITTER_S:
            return Presentation.ATTACK
        return Presentation.UNDECIDED

    def passes(self, within_s: float = np.inf) -> bool:
        """Whether a visit would get past PAD: bona fide in time, and no attack before."""
        live, attack = self.live_s, self.attack_s
        in_time = live is not None and live <= within_s + JITTER_S
        return in_time and (attack is None or (live is not None and live < attack))


def replay(
    trace: Trace, rules: PadRules, start_s: float, within_s: float, most_s: float = np.inf
) -> Course:
    """The course of a face from `start_s` on and for `most_s`, judged by `Liveness` as a door
    judges it."""
    seen = Liveness(rules)
    moved = {look.at_s: look.moved for look in trace.looks}
    live_s = attack_s = None
    scores: Mapping[str, float] = {}
    for look in trace.looks:
        at, since_s = look.at_s, look.at_s - start_s
        if not 0 <= since_s <= most_s + JITTER_S:
            continue
        seen.look(look.passive, at)
        if seen.compares(at):
            cues = None if seen.still is None else moved[seen.still.at_s]
            if cues is not None:
                seen.moved(cues, at)
            seen.still = Still(_NO_PICTURE, _NO_BOX, _NO_BOX, at)
        said = seen.verdict(at)
        if said.presentation is Presentation.BONA_FIDE and live_s is None:
            live_s = since_s
        if said.presentation is Presentation.ATTACK and attack_s is None:
            attack_s = since_s
        if since_s <= within_s + JITTER_S:
            scores = said.scores
    return Course(start_s, live_s, attack_s, scores)


def visit(trace: Trace, rules: PadRules, within_s: float) -> Course:
    """The course of the whole presentation, from its first frame with a face on."""
    return replay(trace, rules, trace.faces_s[0] if trace.faces_s else 0.0, within_s)


def starts(trace: Trace, every_s: float | None, within_s: float) -> list[float]:
    """When a face is looked at afresh: at its first frame, and with `every_s` at the first frame
    after each so many seconds from which the presentation goes on for `within_s`."""
    first = trace.faces_s[0] if trace.faces_s else 0.0
    if every_s is None:
        return [first]
    due = first + np.arange(0, max(trace.end_s - first, 0) + JITTER_S, every_s)
    found = [_first(trace.faces_s, at) for at in due]
    last = trace.end_s + trace.gap_s - within_s + JITTER_S
    later = sorted({at for at in found if at is not None and at <= last} - {first})
    return [first, *later]


def _first(times: Sequence[float], at: float) -> float | None:
    return next((time for time in times if time >= at - JITTER_S), None)


def courses(
    trace: Trace, rules: PadRules, every_s: float | None, within_s: float
) -> Sequence[Course]:
    """The course of each fresh start."""
    found = starts(trace, every_s, within_s)
    return [replay(trace, rules, at, within_s, most_s=within_s) for at in found]
