"""Exact 1:1 and 1:K comparison: an int8 scan selects a few rows, float64 scores rank them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import simsimd
from numpy.typing import NDArray

from ostiary.edge.core.scores.verifier import Verifier
from ostiary.edge.core.types import Candidate, Floats

BLOCK = 1024
"""Rows in a block, for which `_near_the_best` takes one maximum."""
LEVELS = 127
TOLERANCE = 2e-3
"""How far the length of an embedding may differ from 1. Earlier checks sum in another order and
allow less, so that whatever passed them passes here."""
ROUNDING = 1e-9
"""Allowance for rounding of sums in float64."""


class Gallery:
    """The searched templates, in memory; answers equal those of a float64 brute force.

    Each template t is held as float32 and as int8 codes q with t = s*q + e. For a probe p = s'*q' +
    e' the Cauchy-Schwarz inequality bounds the error of the codes:

    |t.p - s*s'*(q.q')| <= ||e||*||p|| + (||t|| + ||e||)*||e'|| =: E

    So a row whose int8 score lies 2E below the n-th best subject's cannot be among the n best. All
    other rows are scored again from the float32 templates in float64.
    """

    def __init__(self, dim: int) -> None:
        """An empty gallery for embeddings of `dim` values."""
        self.dim = dim
        self._count = 0
        self._templates: Floats = np.zeros((0, dim), np.float32)
        self._codes: NDArray[np.int8] = np.zeros((0, dim), np.int8)
        self._owner: list[str] = []
        self._rows: dict[str, tuple[int, ...]] = {}
        self._range = 0.0
        self._residual = 0.0
        self._most, self._norm = 1, 1.0

    def __len__(self) -> int:
        """The number of templates: the K of tau."""
        return self._count

    def __contains__(self, subject: str) -> bool:
        return subject in self._rows

    @property
    def subjects(self) -> list[str]:
        """The enrolled subjects, sorted."""
        return sorted(self._rows)

    def put(self, subject: str, embeddings: Floats) -> None:
        """Set a subject's templates, (n, dim) unit-norm float32; older ones are replaced."""
        self.put_many([(subject, embeddings)])

    def put_many(self, items: Iterable[tuple[str, Floats]]) -> None:
        """Set the templates of many subjects at once, each (n, dim) unit-norm float32.

        Raises ValueError for a wrong shape or type, or a vector that is not of unit length; then
        nothing is changed.
        """
        given = dict(items)
        self._check(list(given.values()))
        for subject in given:
            self.remove(subject)
        first = row = self._count
        self._count += sum(map(len, given.values()))
        self._reserve(self._count)
        for subject, embeddings in given.items():
            end = row + len(embeddings)
            self._templates[row:end] = embeddings
            self._rows[subject] = tuple(range(row, end))
            self._owner.extend([subject] * len(embeddings))
            self._most = max(self._most, len(embeddings))
            row = end
        self._quantize(first)

    def remove(self, subject: str) -> bool:
        """Remove a subject's templates; False if it had none."""
        rows = self._rows.pop(subject, None)
        if rows is None:
            return False
        for row in sorted(rows, reverse=True):
            last = self._count - 1
            if row != last:
                self._templates[row] = self._templates[last]
                self._codes[row] = self._codes[last]
                moved = self._owner[row] = self._owner[last]
                self._rows[moved] = tuple(row if at == last else at for at in self._rows[moved])
            self._owner.pop()
            self._count = last
            # Erase the row now: a removed template must not stay in memory until the row is reused.
            self._templates[last], self._codes[last] = 0, 0
        return True

    def templates(self, subject: str) -> Floats | None:
        """A copy of a subject's templates, (n, dim) float32; None if the subject has none."""
        rows = self._rows.get(subject)
        return None if rows is None else self._templates[list(rows)]

    def verify(self, probe: Floats, subject: str, head: Verifier | None = None) -> Candidate | None:
        """The best score of one subject's own templates; None if the subject is not enrolled.

        With a head, both probability and score are those of the template with the highest
        probability: one and the same template must meet both thresholds.
        """
        own = self._rows.get(subject)
        if not own:
            return None
        rows = np.array(own)
        scores = self._exact(rows, probe)
        if head is None:
            return Candidate(subject, float(scores.max()))
        at, said = head.likeliest(self._templates[rows], probe)
        return Candidate(subject, float(scores[at]), said)

    def identify(self, probe: Floats, top: int = 2) -> tuple[Candidate, ...]:
        """The `top` nearest subjects, best first (ties by name), each with its best score."""
        if not self._count:
            return ()
        rows = self._contenders(probe, top)
        best: dict[str, float] = {}
        for row, score in zip(rows.tolist(), self._exact(rows, probe).tolist(), strict=True):
            owner = self._owner[row]
            best[owner] = max(score, best.get(owner, -2.0))
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Candidate(subject, score) for subject, score in ranked[:top])

    def _contenders(self, probe: Floats, top: int) -> NDArray[np.intp]:
        """The rows that may belong to one of the `top` best subjects."""
        step = max(float(np.abs(probe).max()), 1e-12) / LEVELS
        codes = np.rint(probe / step).astype(np.int8)
        # `out=` would save page faults, but simsimd 6.5 then returns None without counting the
        # reference, and after some ten thousand frames Python ends the process.
        scores = np.asarray(simsimd.cdist(codes[None], self._codes[: self._count], metric="dot"))
        probe_error = float(np.linalg.norm(probe - step * codes.astype(np.float64)))
        probe_norm = float(np.linalg.norm(probe.astype(np.float64)))
        error = self._residual * probe_norm + (self._norm + self._residual) * probe_error
        unit = self._range / LEVELS * step
        slack = 2 * (error + ROUNDING) / unit
        return _near_the_best(scores[0], (top - 1) * self._most + 1, slack)

    def _exact(self, rows: NDArray[np.intp], probe: Floats) -> NDArray[np.float64]:
        """Cosines of some rows in float64; einsum sums each row alike, so equal rows tie."""
        chosen = self._templates[rows].astype(np.float64)
        return np.asarray(np.einsum("ij,j->i", chosen, probe.astype(np.float64)))

    def _check(self, given: list[Floats]) -> None:
        for embeddings in given:
            shape, kind = embeddings.shape, embeddings.dtype
            if kind != np.float32 or len(shape) != 2 or shape[1] != self.dim or not shape[0]:
                raise ValueError(f"expected (n, {self.dim}) float32, got {shape} {kind}")
        for start in range(0, len(given), BLOCK):
            norms = np.linalg.norm(np.concatenate(given[start : start + BLOCK]), axis=1)
            if not np.all(np.abs(norms - 1) < TOLERANCE):  # written so that NaN is refused too
                raise ValueError("expected embeddings of unit length")

    def _reserve(self, rows: int) -> None:
        """Grow the arrays by an eighth, so that adding one subject does not move all others."""
        if rows <= len(self._templates):
            return
        room = (rows + rows // 8 + 64, self.dim)
        # Resize in place: the system only remaps pages, while a copy of 100,000 templates would
        # stop the door for 0.1 s. No view of the arrays outlives a call, so refcheck is not needed.
        self._templates.resize(room, refcheck=False)
        self._codes.resize(room, refcheck=False)

    def _quantize(self, first: int) -> None:
        """Set the int8 codes of the rows from `first` on, or of all rows if a value exceeds the
        range."""
        added = self._templates[first : self._count]
        largest = float(max(added.max(initial=0), -added.min(initial=0)))
        if largest > self._range:
            self._range, self._residual, first = min(1.01, largest * 1.25), 0.0, 0
        step = np.float32(self._range / LEVELS)
        for start in range(first, self._count, BLOCK):
            rows = slice(start, min(start + BLOCK, self._count))
            exact = self._templates[rows]
            coded = exact / step
            self._codes[rows] = np.rint(coded, out=coded)
            # Work in place: new memory for each block would cost more than the arithmetic.
            coded *= step
            coded -= exact
            self._norm = max(self._norm, _longest(exact))
            self._residual = max(self._residual, _longest(coded))


def _longest(rows: Floats) -> float:
    """An upper bound of the rows' lengths, which allows for float32 rounding in the sums."""
    longest = math.sqrt(np.einsum("ij,ij->i", rows, rows).max())
    return longest * (1 + 1e-7 * float(rows.shape[1])) + 1e-6


def _near_the_best(scores: NDArray[np.float64], nth: int, slack: float) -> NDArray[np.intp]:
    """The rows whose score is at most `slack` below `bar`, which at least `nth` scores reach.

    For many rows `bar` is the nth best of the block maxima, found in one pass; then only blocks
    near it are searched again. For few rows `bar` is the nth best score itself.
    """
    whole = len(scores) // BLOCK * BLOCK
    nth = min(nth, len(scores))
    if whole < 2 * nth * BLOCK:
        bar = float(np.partition(scores, len(scores) - nth)[len(scores) - nth]) - slack
        return np.flatnonzero(scores >= bar)
    blocks = scores[:whole].reshape(-1, BLOCK)
    maxima = blocks.max(1)
    bar = float(np.partition(maxima, len(maxima) - nth)[len(maxima) - nth]) - slack
    chosen = np.flatnonzero(maxima >= bar)
    block, column = np.nonzero(blocks[chosen] >= bar)
    rest = whole + np.flatnonzero(scores[whole:] >= bar)
    return np.concatenate([chosen[block] * BLOCK + column, rest])
