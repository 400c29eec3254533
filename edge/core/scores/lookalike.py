"""The look-alike guard: refuses a new person whose score against somebody else exceeds tau."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ostiary.edge.core.scores.calibration import DetCurve, threshold
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.types import Floats

SAME_FMR = 1e-7
"""Two people score as high once in ten million pairs: a higher score means the same person."""


@dataclass(frozen=True, slots=True)
class LookAlike:
    """Another subject whom a new person resembles: the score, and tau for K = `k`.

    `same` means the same person: the score's false match rate is at most `SAME_FMR`.
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
    """Finds look-alikes among everybody's templates of one encoder.

    `held` are subjects and their (n, dim) templates. `coming` are the subjects about to be added:
    they count for tau from the start, so that every line of a table is compared with the same tau.
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
        self._same = threshold(curve, SAME_FMR, 1).tau

    def add(self, subject: str, template: Floats) -> None:
        """Let later templates be compared with this (dim,) template as well."""
        self._gallery.put(subject, template[None])

    def nearest(self, subject: str, template: Floats) -> LookAlike | None:
        """The closest other subject to a (dim,) template; None if the score is below tau."""
        others = [c for c in self._gallery.identify(template, top=2) if c.subject != subject]
        if not others or others[0].score < self._tau.tau:
            return None
        closest = others[0]
        same = closest.score >= self._same
        return LookAlike(closest.subject, closest.score, self._tau.tau, self._tau.k, same)
