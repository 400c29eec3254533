"""What PAD has seen of one face, and the verdict over it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ostiary.edge.core.pad.motion import Still, is_apart
from ostiary.edge.core.pad.rules import PadRules, Presentation, Verdict

PASSIVE, MOTION = "passive", "motion"
MOST_LOOKS = 256
"""The most looks that are remembered, whatever the camera's rate."""

Looks = deque[tuple[float, float]]
"""The time in seconds and the score of each look, oldest first."""


class Liveness:
    """The evidence of one face. Missing evidence is undecided, and undecided opens no door."""

    def __init__(self, rules: PadRules) -> None:
        self._rules = rules
        self._frames: Looks = deque(maxlen=MOST_LOOKS)
        self._pairs: Looks = deque(maxlen=MOST_LOOKS)
        self._began_s: float | None = None
        self._waited_s: float | None = None
        """When the evidence began, and since when the face has waited for a first verdict."""
        self._was_live = self._is_attack = False
        self._dead = True
        self.newest_lived = self.restarted = False
        """The newest frame looked live; it started the evidence over."""
        self.still: Still | None = None
        """The frame that the next one will be compared with."""

    def look(self, cues: Mapping[str, float], now: float) -> None:
        """Take the passive cues of a frame at `now`.

        A frame that looks like an attack starts the evidence over, and counts in the new one.
        """
        score = self._rules.passive.score(cues)
        dead = score < self._rules.restart
        self.restarted = dead and not self._dead
        if self.restarted:
            self._forget()
        self._dead &= dead
        if self._began_s is None:
            self._began_s = now
        if self._waited_s is None:
            self._waited_s = now
        self._frames.append((now, score))
        self.newest_lived = score >= self._rules.frame

    def compares(self, now: float) -> bool:
        """Whether a frame at `now` is to be compared with `still`, or to become the first one."""
        return self.still is None or is_apart(self.still, now, self._rules.apart_s)

    def moved(self, cues: Mapping[str, float], now: float) -> None:
        """Take the motion cues of a pair of frames, of which the second was taken at `now`."""
        if self._rules.motion is not None:
            self._pairs.append((now, self._rules.motion.score(cues)))

    def start_over(self) -> None:
        """Begin anew with another face; an attack is not forgotten."""
        self._forget()
        self._waited_s = None

    def _forget(self) -> None:
        """Forget the looks. A face that has never looked bona fide does not get more time for it:
        a picture would draw until it passes."""
        self._frames.clear()
        self._pairs.clear()
        if self._was_live:
            self._waited_s = None
        self._began_s, self._was_live, self._dead, self.still = None, False, True, None

    def verdict(self, now: float) -> Verdict:
        """The verdict at `now`, over the looks that still count."""
        passive, motion = (self._mean(looks, now) for looks in (self._frames, self._pairs))
        scores = {PASSIVE: passive} | ({} if self._rules.motion is None else {MOTION: motion})
        known = {name: score for name, score in scores.items() if score is not None}
        presentation = self._presentation(passive, motion, now)
        self._is_attack |= presentation is Presentation.ATTACK
        self._was_live |= presentation is Presentation.BONA_FIDE
        return Verdict(Presentation.ATTACK if self._is_attack else presentation, known)

    def _mean(self, looks: Looks, now: float) -> float | None:
        while looks and now - looks[0][0] > self._rules.memory_s:
            looks.popleft()
        return sum(score for _, score in looks) / len(looks) if looks else None

    def _presentation(
        self, passive: float | None, motion: float | None, now: float
    ) -> Presentation:
        """The verdict over the mean scores; None if nothing was seen."""
        rules = self._rules
        began_s, waited_s = self._began_s, self._waited_s
        if passive is None or began_s is None or waited_s is None:
            return Presentation.UNDECIDED
        if len(self._frames) < rules.frames:
            return Presentation.UNDECIDED
        judged = [(rules.passive, passive)]
        if rules.motion is not None and motion is not None:
            judged.append((rules.motion, motion))
        if any(not score >= kind.attack for kind, score in judged):
            return Presentation.ATTACK
        enough = rules.motion is None or len(self._pairs) >= rules.pairs
        long_enough = now - began_s >= rules.span_s
        if enough and long_enough and all(score >= kind.live for kind, score in judged):
            return Presentation.BONA_FIDE if self.newest_lived else Presentation.UNDECIDED
        late = enough and now - waited_s >= rules.patience_s and not self._was_live
        return Presentation.ATTACK if late else Presentation.UNDECIDED
