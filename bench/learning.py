"""Measure what templates that learn gain, what that costs, and how far they drift."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bench.visits import LearningDoor, SeenPhotos, read_photos
from ostiary.edge.cli.console import advice, out, print_json
from ostiary.edge.core.rules.learning import LEAST_COSINE, LearningRules
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.scores.metrics import Rate, rate_over
from ostiary.edge.errors import OstiaryError, PhotoError
from ostiary.edge.runtime import bundle as bundles

LEAST_PHOTOS = 4
"""Photos of a person who is enrolled: the template's, a visit's, and two or more held back."""
NEAREST = 5
"""Strangers of each draw who attack: those with the highest scores."""
Flags = NDArray[np.bool_]


class Measured(msgspec.Struct, frozen=True):
    """One figure, with its 95 % interval over people if it has one."""

    what: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(slots=True, eq=False)
class _Counts:
    """Errors and trials of each person, over all draws."""

    people: int
    errors: NDArray[np.float64] = field(init=False)
    trials: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.errors, self.trials = np.zeros(self.people), np.zeros(self.people)

    def add(self, person: NDArray[np.int64], wrong: Flags) -> None:
        np.add.at(self.errors, person, np.asarray(wrong, np.float64))
        np.add.at(self.trials, person, 1.0)

    def rate(self, less: _Counts | None = None) -> Rate:
        """The error rate, less that of other counts of the same trials; people are redrawn."""
        errors = self.errors if less is None else self.errors - less.errors
        return rate_over(errors, self.trials)


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = argparse.ArgumentParser(
        prog="python -m bench.learning",
        description="Enroll one photo of each of some people; their other photos, and strangers',"
        " are visits on days of their own. Half of the photos are held back, and compared with the"
        " templates as they were enrolled and as they have learned.",
        epilog="example: python -m bench.learning --bundle bundle --faces DIR",
    )
    options.add_argument("--bundle", type=Path, required=True, help="bundle directory")
    options.add_argument(
        "--faces", type=Path, required=True, help="folder with one subfolder of photos per person"
    )
    options.add_argument("--exclude", type=Path, help="exclusion list of wrong labels")
    options.add_argument("--people", type=int, default=100, help="people enrolled in each draw")
    options.add_argument("--draws", type=int, default=30, help="random enrollments")
    options.add_argument("--days", type=int, default=30, help="daily visits of an attacker")
    options.add_argument("--fpir", type=float, default=0.01, help="FPIR that tau is for")
    options.add_argument("--mean", action="store_true", help="take tau from the mean's curve")
    options.add_argument(
        "--stricter", type=float, default=LearningRules().stricter, help="as in the profile"
    )
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; exit code 2 if something is missing."""
    given = parser().parse_args(arguments)
    try:
        loaded = bundles.read(given.bundle)
        photos = read_photos(loaded, given.faces, given.exclude)
        rules = LearningRules(stricter=given.stricter)
        curves = loaded.det().curves_for("float_int8", worst=not given.mean)
        rows = measure(photos, curves, rules, given)
    except OstiaryError as error:
        sys.stderr.write(f"error: {error}\n")
        if given.json:
            print_json({"error": error.message, "hint": advice(error)})
        return 2
    if given.json:
        print_json(rows)
    else:
        out.print(_shown(rows))
    return 0


def measure(
    photos: SeenPhotos, curves: Curves, rules: LearningRules, given: argparse.Namespace
) -> list[Measured]:
    """The figures. Raises PhotoError if too few people have enough photos."""
    many = np.flatnonzero(np.bincount(photos.person) >= LEAST_PHOTOS)
    if len(many) < given.people:
        raise PhotoError(
            f"{len(many)} people have {LEAST_PHOTOS} photos, {given.people} are to be enrolled",
            "give more faces, or enroll fewer",
        )
    gained, attacked = _Gain(photos), _Attack()
    for seed in range(given.draws):
        draw = _Draw(photos, many, given.people, seed)

        def door(enrolled: NDArray[np.int64] = draw.enrolled) -> LearningDoor:
            return LearningDoor(photos, enrolled, curves, given.fpir, rules)

        gained.add(draw, door)
        attacked.add(draw, door, given.days)
    return gained.rows() + attacked.rows()


class _Draw:
    """A random enrollment. Of the other photos of an enrolled person, and of the strangers, the
    first half visits, and the second half is held back."""

    def __init__(self, photos: SeenPhotos, many: NDArray[np.int64], count: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.photos = photos
        people = self.rng.permutation(many)[:count]
        own = [self.rng.permutation(np.flatnonzero(photos.person == one)) for one in people]
        self.enrolled = np.array([rows[0] for rows in own])
        middle = [1 + (len(rows) - 1) // 2 for rows in own]
        visits = [rows[1:at] for rows, at in zip(own, middle, strict=True)]
        self.held = np.concatenate([rows[at:] for rows, at in zip(own, middle, strict=True)])
        others = self.rng.permutation(np.setdiff1d(photos.person, people))
        come, stay = np.array_split(others, 2)
        self.stranger = np.flatnonzero(np.isin(photos.person, stay))
        coming = np.flatnonzero(np.isin(photos.person, come))
        self.visits = self.rng.permutation(np.concatenate([*visits, coming]))
        self.learns = np.isin(photos.person, people[: count // 2])


class _Gain:
    """What honest visits change for people who learn, for people who do not, and for strangers."""

    def __init__(self, photos: SeenPhotos) -> None:
        self._person = photos.person
        names = ("before", "after", "others before", "others after", "in before", "in", "uncounted")
        self._counts = {name: _Counts(int(photos.person.max()) + 1) for name in names}
        self._cosine, self._samples, self._foreign, self._learners = 1.0, 0, 0, list[float]()

    def add(self, draw: _Draw, made: Callable[[], LearningDoor]) -> None:
        door = made()
        for row in draw.visits:
            door.visit(row)
        self._count("before", draw.held, door.missed(draw.held, learned=False))
        self._count("after", draw.held, door.missed(draw.held))
        kept = draw.stranger
        self._count("in before", kept, door.let_in(kept, door.tau_before, learned=False))
        self._count("in", kept, door.let_in(kept, door.tau))
        self._count("uncounted", kept, door.let_in(kept, door.tau_before))
        self._cosine = min(self._cosine, float(door.cosines().min()))
        self._samples += sum(map(len, door.samples))
        self._foreign += door.strangers_samples()
        self._learners.append(float(np.mean([bool(held) for held in door.samples])))
        half = made()
        own = np.isin(draw.photos.person, half.owner)
        for row in draw.visits[draw.learns[draw.visits] | ~own[draw.visits]]:
            half.visit(row)
        others = draw.held[~draw.learns[draw.held]]
        self._count("others before", others, half.missed(others, learned=False))
        self._count("others after", others, half.missed(others))

    def _count(self, name: str, rows: NDArray[np.int64], wrong: Flags) -> None:
        self._counts[name].add(self._person[rows], wrong)

    def rows(self) -> list[Measured]:
        counts = self._counts
        return [
            _rate("FNIR, enrolled templates", counts["before"].rate()),
            _rate("FNIR, after learning", counts["after"].rate()),
            _rate("FNIR gained", counts["before"].rate(counts["after"])),
            _rate("FNIR lost by people who do not learn, if half do", _lost(counts)),
            _rate("FPIR, enrolled templates", counts["in before"].rate()),
            _rate("FPIR, after learning", counts["in"].rate()),
            _rate("FPIR, if samples did not count as photos", counts["uncounted"].rate()),
            Measured("share of templates that learned", float(np.mean(self._learners))),
            Measured("samples learned", self._samples),
            Measured("of these, a stranger's or another person's", self._foreign),
            Measured("least cosine to the enrolled template", self._cosine),
            Measured("its bound", LEAST_COSINE),
        ]


class _Attack:
    """The nearest strangers come every day, each with all photos that there are of him."""

    def __init__(self) -> None:
        self._attackers, self._learned = 0, 0
        self._before, self._after, self._cosine = list[float](), list[float](), 1.0
        self._granted = list[tuple[int, int]]()

    def add(self, draw: _Draw, made: Callable[[], LearningDoor], days: int) -> None:
        door = made()
        strangers = np.flatnonzero(~np.isin(draw.photos.person, door.owner))
        scores = draw.photos.probes[strangers] @ door.enrolled.T
        nearest: dict[int, int] = {}
        for at in np.argsort(-scores.max(1)):
            nearest.setdefault(int(draw.photos.person[strangers[at]]), int(scores[at].argmax()))
        for person, victim in list(nearest.items())[:NEAREST]:
            self._visit(draw, made(), person, victim, days)

    def _visit(self, draw: _Draw, door: LearningDoor, person: int, victim: int, days: int) -> None:
        rows = np.flatnonzero(draw.photos.person == person)
        before = (draw.photos.probes[rows] @ door.templates[victim]).max()
        granted = [door.visit(int(rows[day % len(rows)])) is not None for day in range(days)]
        after = (draw.photos.probes[rows] @ door.templates[victim]).max()
        self._attackers += 1
        self._learned += any(door.samples)
        self._before.append(float(before))
        self._after.append(float(after))
        once = len(rows)
        self._granted.append((sum(granted[:once]), sum(granted[-once:])))
        self._cosine = min(self._cosine, float(door.cosines().min()))

    def rows(self) -> list[Measured]:
        rise = np.subtract(self._after, self._before)
        return [
            Measured("attackers: the nearest strangers of each draw", self._attackers),
            Measured("whose samples a template took", self._learned),
            Measured("highest score before the first day", max(self._before)),
            Measured("highest score after the last day", max(self._after)),
            Measured("largest rise of an attacker's highest score", float(rise.max())),
            Measured("photos granted in the first round", sum(one for one, _ in self._granted)),
            Measured("photos granted in the last round", sum(two for _, two in self._granted)),
            Measured("attacked: least cosine to the enrolled template", self._cosine),
        ]


def _lost(counts: dict[str, _Counts]) -> Rate:
    return counts["others after"].rate(counts["others before"])


def _rate(what: str, rate: Rate) -> Measured:
    return Measured(what, rate.value, rate.low, rate.high)


def _shown(rows: list[Measured]) -> Table:
    table = Table("what", "measured", "95 %")
    for row in rows:
        between = "" if row.low is None else f"{row.low:.4f} to {row.high:.4f}"
        table.add_row(row.what, f"{row.value:.4f}".removesuffix(".0000"), between)
    return table


if __name__ == "__main__":
    sys.exit(main())
