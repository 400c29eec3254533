"""Label errors among faces: photos and names that are too much, or too little, alike to be right.

Every finding carries the number of findings at least this strong that a folder without errors is
expected to give (an E-value, as sequence searches call it: Karlin and Altschul 1990). It rests on
a(s), the share of impostor pairs that score s or more, and b(u), the share of photos whose mean
score with the other photos of their name is u or less. Far out both fall as exponentials: the
excess over a high threshold follows a generalized Pareto distribution (Pickands 1975), and its
shape 0 bounds the tails that fall faster, as those of scores do. Each runs through two quantiles
and not through the extreme scores, among which the errors lie.

Of N impostor pairs and n photos that share their name with another photo, there are expected

- N a(s) pairs of two names that score s or more (same-person, alike);
- n b(u) photos with a mean score of u or less (stranger);
- n z (1 - ln z) photos with both signs, z = b(u) min(1, M a(s)), M photos of other names: the
  product of two independent shares is z or less that often (Fisher 1932) (misplaced).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError

Rows = NDArray[np.int64]
Values = NDArray[np.float64]
Kind = Literal["same-person", "alike", "misplaced", "stranger"]
"""same-person: two names whose photos match one another. alike: two photos of two names match, the
names' other photos less. misplaced: a photo matches a photo of another name, and its own name's
little. stranger: a photo matches its own name's photos little, and nobody else's."""

SURE = 1.0
"""A finding is sure if a folder without errors is expected to give at most one this strong."""
FAR_AT_FIRST, FAR_PAIRS, LEAST_PAIRS, PAIRS_STEP = 1e-3, 1e-4, 100, 10
"""The share of the impostor pairs beyond the far quantile of their tail, as long as the errors are
still among them and afterwards; the fewest pairs beyond it; and how many times as many lie beyond
the near quantile. Chosen on half of the people of a part of LFW, and checked on the others with
three encoders: even with one wrong label in ten most errors lie beyond the first share."""
FAR_PHOTOS, LEAST_PHOTOS, PHOTOS_STEP = 0.02, 5, 5
"""The same for the tail of the photos' mean scores with their own name."""
BLOCK = 512
BY_OTHERS, BY_OWN, BY_BOTH = range(3)
"""The signs of an error: a high score with another name, a low one with the own name, both."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A label that is likely wrong; `photo`, `other` and `wrong` are rows of the embeddings.

    `expected` is the number of findings this strong in a folder without errors. `score` is that of
    the two photos; of a stranger it is the mean score with the name's other photos, and `other` is
    the most typical of them. `own` is the mean score of `photo` with the other photos of its name,
    None if there are none. Without the `wrong` photos the finding would not exist.
    """

    kind: Kind
    expected: float
    photo: int
    other: int
    score: float
    own: float | None
    wrong: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExponentialTail:
    """The share of values at or beyond x: `share` at `start`, then less by e at every `scale`."""

    start: float
    share: float
    scale: float

    def beyond(self, x: Values) -> Values:
        """The share at or beyond each x, at most 1."""
        return np.minimum(self.share * np.exp((self.start - x) / self.scale), 1.0)


@dataclass(frozen=True, slots=True)
class Tails:
    """a(s) as `pairs`, over scores; b(u) as `photos`, over mean scores with the sign changed."""

    pairs: ExponentialTail
    photos: ExponentialTail


@dataclass(frozen=True, slots=True, eq=False)
class Resemblance:
    """How well each photo fits its own name and the others'.

    `own` (n,) is the mean score with the other photos of its name, NaN without any; `best` (n,) is
    the highest score with a photo of another name, and `other` (n,) that photo's row.
    """

    own: Values
    best: Values
    other: Rows


def find(embeddings: Floats, person: Rows, most: int, sure: float = SURE) -> list[Finding]:
    """The sure findings among photos, and then the next ones up to `most`, the surest first.

    `embeddings` is (n, dim) of unit norm, `person` (n,) the number of each one's name. The tails
    are measured without suspect photos. After the sure findings all photos are compared again
    without the wrong ones, until none is left: an error no longer hides another one, nor makes the
    right photos of its name look wrong. Raises PhotoError if the photos are too few.
    """
    clean = _unsuspected(embeddings, person)
    fine = tails(embeddings[clean], person[clean], FAR_PAIRS)
    kept = np.arange(len(person))
    found: list[Finding] = []
    while True:
        batch = [_in_rows(f, kept) for f in _once(embeddings[kept], person[kept], fine, sure)]
        certain = [item for item in batch if item.expected <= sure]
        if not certain:
            found.sort(key=lambda item: item.expected)
            return found + batch[: max(most - len(found), 0)]
        found += certain
        kept = np.setdiff1d(kept, [row for item in certain for row in item.wrong])


def _unsuspected(embeddings: Floats, person: Rows) -> Rows:
    """The rows of the photos that are not suspect by tails that the errors hardly reach."""
    kept = np.arange(len(person))
    while True:
        rows, names = embeddings[kept], person[kept]
        rough = tails(rows, names, FAR_AT_FIRST)
        right = _expected(resemblance(rows, names), names, rough).min(0) > SURE
        if right.all():
            return kept
        kept = kept[right]


def tails(embeddings: Floats, person: Rows, far: float) -> Tails:
    """The tails of photos' scores; a share `far` of the impostor pairs is not looked at.

    Raises PhotoError if the photos are too few.
    """
    own = _own(embeddings, person)
    own = np.sort(own[~np.isnan(own)])
    pairs = impostor_pairs(person)
    beyond = max(int(far * pairs), LEAST_PAIRS)
    photos = max(int(FAR_PHOTOS * len(own)), LEAST_PHOTOS)
    if 2 * PHOTOS_STEP * photos > len(own) or 2 * PAIRS_STEP * beyond > pairs:
        raise PhotoError(
            f"{len(own)} photos share their name with another photo, and {pairs} pairs have two"
            " names: too few to tell an error from chance",
            f"give {2 * PHOTOS_STEP * LEAST_PHOTOS} photos of people with several, and 70 in all",
        )
    return Tails(
        _tail(_highest(embeddings, person, PAIRS_STEP * beyond), beyond, PAIRS_STEP, pairs),
        _tail(-own, photos, PHOTOS_STEP, len(own)),
    )


def resemblance(embeddings: Floats, person: Rows) -> Resemblance:
    """Compare every photo with its own name and with all photos of other names."""
    best, other = np.empty(len(person)), np.empty(len(person), np.int64)
    for rows, scores in _foreign(embeddings, person):
        other[rows] = scores.argmax(1)
        best[rows] = scores.max(1)
    return Resemblance(_own(embeddings, person), best, other)


def impostor_pairs(person: Rows) -> int:
    """The number of pairs of photos of two names."""
    return int(len(person) ** 2 - (np.bincount(person) ** 2).sum()) // 2


def _own(embeddings: Floats, person: Rows) -> Values:
    images = np.bincount(person)
    sums = np.zeros((len(images), embeddings.shape[1]))
    np.add.at(sums, person, embeddings.astype(np.float64))
    total = np.einsum("ij,ij->i", embeddings, sums[person] - embeddings)
    mates = images[person] - 1
    return np.where(mates > 0, total / np.maximum(mates, 1), np.nan)


def _foreign(embeddings: Floats, person: Rows) -> Iterator[tuple[Rows, Floats]]:
    """Rows and their scores with all photos, block by block; within a name they are -inf."""
    for start in range(0, len(person), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(person)))
        scores = embeddings[rows] @ embeddings.T
        scores[person[rows, None] == person[None]] = -np.inf
        yield rows, scores


def _highest(embeddings: Floats, person: Rows, most: int) -> Values:
    """The `most` highest scores of the pairs of two names, in falling order."""
    highest = np.empty(0, np.float32)
    for rows, scores in _foreign(embeddings, person):
        # A pair counts once, in the row of its earlier photo.
        scores[np.arange(len(person)) <= rows[:, None]] = -np.inf
        floor = highest[-1] if len(highest) == most else np.float32(-2)
        highest = np.sort(np.concatenate([highest, scores[scores > floor]]))[::-1][:most]
    return highest.astype(np.float64)


def _tail(falling: Values, far: int, step: int, of: int) -> ExponentialTail:
    """The exponential through two quantiles of values that fall: `far` and `step` times as many of
    the `of` values lie at or beyond them."""
    start, near = float(falling[far - 1]), float(falling[step * far - 1])
    # Copies of a photo give equal scores: the scale must not be 0.
    return ExponentialTail(start, far / of, max((start - near) / np.log(step), 1e-6))


def _expected(seen: Resemblance, person: Rows, measured: Tails) -> Values:
    """How many photos as suspect as each are expected, (3, n): by each of the signs.

    A photo that is alone with its name has one sign only.
    """
    alone = np.isnan(seen.own)
    much = measured.pairs.beyond(seen.best)
    few = np.where(alone, 1.0, measured.photos.beyond(-np.where(alone, 0.0, seen.own)))
    foreign = len(person) - np.bincount(person)[person]
    both = np.maximum(few * np.minimum(foreign * much, 1.0), np.finfo(float).tiny)
    by_own = np.stack([few, both * (1 - np.log(both))]) * (~alone).sum()
    by_own[:, alone] = np.inf
    return np.stack([impostor_pairs(person) * much, *by_own])


def _once(embeddings: Floats, person: Rows, measured: Tails, sure: float) -> Iterator[Finding]:
    """The findings of one comparison of all photos, the surest first.

    A name appears once: another finding about it may be an echo of the first.
    """
    seen = resemblance(embeddings, person)
    expected = _expected(seen, person, measured)
    judge = _Judge(embeddings, person, seen, measured, sure)
    named: set[int] = set()
    for row in np.argsort(expected.min(0), kind="stable"):
        sign = int(expected[:, row].argmin())
        names = {int(person[row])}
        if sign != BY_OWN:
            names.add(int(person[seen.other[row]]))
        if not names & named:
            named |= names
            yield judge.finding(int(row), sign, float(expected[sign, row]))


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Says what is likely wrong about a photo."""

    embeddings: Floats
    person: Rows
    seen: Resemblance
    tails: Tails
    sure: float

    def finding(self, photo: int, sign: int, expected: float) -> Finding:
        own = None if np.isnan(self.seen.own[photo]) else float(self.seen.own[photo])
        if sign == BY_OWN:
            mates = self._named(photo)
            mates = mates[mates != photo]
            typical = int(mates[(self._scores(mates, mates)).sum(1).argmax()])
            # Of two photos that do not match, nobody can tell which one is wrong.
            wrong: tuple[int, ...] = (photo, typical) if len(mates) == 1 else (photo,)
            score = float(self.seen.own[photo])
            return Finding("stranger", expected, photo, typical, score, own, wrong)
        other, score = int(self.seen.other[photo]), float(self.seen.best[photo])
        if sign == BY_BOTH:
            return Finding("misplaced", expected, photo, other, score, own, (photo,))
        kind, wrong = self._matching(photo, other)
        return Finding(kind, expected, photo, other, score, own, wrong)

    def _matching(self, photo: int, other: int) -> tuple[Kind, tuple[int, ...]]:
        """Whether two names are one person, or only two of their photos match; and the photos to
        leave out: of the name that has fewer."""
        mine, theirs = self._named(photo), self._named(other)
        fewer = mine if len(mine) < len(theirs) else theirs
        people = len(np.unique(self.person))
        share = self.tails.pairs.beyond(self._scores(mine, theirs).mean(keepdims=True))
        if people * (people - 1) / 2 * float(share.item()) <= self.sure:
            return "same-person", tuple(int(row) for row in fewer)
        return "alike", (photo if photo in fewer else other,)

    def _named(self, photo: int) -> Rows:
        """The rows of all photos of a photo's name."""
        return np.flatnonzero(self.person == self.person[photo])

    def _scores(self, rows: Rows, columns: Rows) -> Values:
        return np.asarray(self.embeddings[rows] @ self.embeddings[columns].T, np.float64)


def _in_rows(found: Finding, kept: Rows) -> Finding:
    """The finding with rows of all photos instead of rows of the kept ones."""
    return replace(
        found,
        photo=int(kept[found.photo]),
        other=int(kept[found.other]),
        wrong=tuple(int(kept[row]) for row in found.wrong),
    )
