"""The look-alike guard: nobody new may come closer to somebody else than the fleet's tau allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ostiary.edge.core.scores.calibration import DetCurve, threshold
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.types import Floats


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Somebody else who is too close: their score, and the tau among `k` templates.

    `same` where the score lies above every impostor score that was ever measured: this is the
    same person.
    """

    subject: str
    score: float
    tau: float
    k: int
    same: bool

    def text(self) -> str:
        if self.same:
            return (
                f"this looks like the same person who is enrolled as {self.subject}"
                f" (score {self.score:.3f})"
            )
        return (
            f"this is a look-alike of {self.subject}: score {self.score:.3f},"
            f" tau {self.tau:.3f} for K={self.k}"
        )


class LookAlikeGuard:
    """Everybody's templates of one encoder, and the tau that says what is too close.

    `coming` are the subjects about to be added: tau is for the fleet as it will be, so that it is
    no other for the first line of a table than for the last.
    """

    def __init__(
        self,
        curve: DetCurve,
        fpir: float,
        dim: int,
        held: Iterable[tuple[str, Floats]],
        coming: Iterable[str],
    ) -> None:
        self._gallery = Gallery(dim)
        self._gallery.put_many(held)
        others = len({*self._gallery.subjects, *coming}) - 1
        self._tau = threshold(curve, fpir, max(others, 1))
        # Where no impostor pair of the curve came: the lowest score with a count of nothing.
        self._same = threshold(curve, 1e-12, 1).tau

    def add(self, subject: str, template: Floats) -> None:
        """Compare those to come with this (dim,) template as well."""
        self._gallery.put(subject, template[None])

    def nearest(self, subject: str, template: Floats) -> LookAlike | None:
        """The closest of everybody else where they are too close to a (dim,) template."""
        others = [c for c in self._gallery.identify(template, top=2) if c.subject != subject]
        if not others or others[0].score < self._tau.tau:
            return None
        closest = others[0]
        same = closest.score >= self._same
        return LookAlike(closest.subject, closest.score, self._tau.tau, self._tau.k, same)
