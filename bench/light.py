"""Measure how often enrolled people are kept out of a dim room, and those of dark skin apart."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bench import common
from bench.common import shown
from bench.stays import MOST_PHOTOS, Look, Stay, Visitor, WatchedDoor, changed, look
from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.config import Config
from ostiary.edge.core.faces import quality
from ostiary.edge.core.scores.metrics import Rate, interval, rate_over
from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline
from ostiary.export.light.looks import people_in, tone_of
from ostiary.export.light.rows import DARKEST
from ostiary.export.light.spoilt import seen, to_light

STAY = Stay("enrolled", 3.0)
FPS = 8.0
CHANGES = 3
"""Changed copies of each photo."""
DRAWS = 1000


class DimRates(msgspec.Struct, frozen=True):
    """Visits in light that is darker by `stops`: FNIR of all people, of the darkest tenth and of
    the others; and the first as a multiple of that in ordinary light, the second of the third."""

    stops: float
    people: int
    fnir: Rate
    times_ordinary: Rate
    darkest: Rate
    others: Rate
    darkest_times_others: Rate


@dataclass(frozen=True, slots=True, eq=False)
class LitPerson:
    """A person's visits: one `Visitor` for each number of stops, and the skin's tone in degrees."""

    visits: list[Visitor]
    tone: float


def read_person(
    pipeline: Pipeline,
    config: Config,
    photos: Sequence[Path],
    stops: Sequence[float],
    rng: np.random.Generator,
) -> LitPerson | None:
    """A template of the first good photo, and looks at the others in each light."""
    template, tones, others = None, [], []
    for file in photos:
        image = read_photo(file)
        faces = pipeline.find(image)
        if not faces:
            continue
        aligned = pipeline.align(image, faces[0])
        strict = quality.for_template(config.limits())
        failed = quality.failures(pipeline.quality(faces[0], aligned), strict)
        if quality.NOT_UPRIGHT in failed:
            continue
        tones.append(tone_of(aligned))
        if template is None and not failed:
            template = pipeline.embed(aligned)
        else:
            others.append(image)
    if template is None or not others:
        return None
    name = photos[0].parent.name
    visits = [
        Visitor(name, template, [_looks(pipeline, image, dark, rng) for image in others])
        for dark in stops
    ]
    return LitPerson(visits, float(np.median(tones)))


def _looks(pipeline: Pipeline, image: Image, stops: float, rng: np.random.Generator) -> list[Look]:
    """Looks at changed copies of a photo, in darker light. Where no face is found the look is one
    at a face too small to be used."""
    found = []
    reference = look(pipeline, image)
    for _ in range(CHANGES):
        shown = changed(image, rng)
        if stops:
            shown = seen(to_light(shown) * np.float32(2**-stops), rng)
        one = look(pipeline, shown)
        if one is None and reference is not None:
            one = replace(reference, measured=replace(reference.measured, eye_distance_px=0.0))
        if one is not None:
            found.append(one)
    return found


def measure(
    pipeline: Pipeline, config: Config, people: Sequence[LitPerson], stops: Sequence[float], k: int
) -> list[DimRates]:
    """The rates in each light; everybody is enrolled once, among `k`. Raises PhotoError."""
    if len(people) < k:
        raise PhotoError(f"only {len(people)} people can be enrolled", "ask for a smaller K")
    tones = np.array([person.tone for person in people])
    dark = np.zeros(len(people), bool)
    dark[np.argsort(tones)[: max(round(DARKEST * len(people)), 1)]] = True
    missed = np.zeros((len(stops), len(people)))
    order = np.random.default_rng(0).permutation(len(people))
    for start in range(0, len(people), k):
        # The last gallery is filled up with people of the first, who are not counted again.
        rows = np.concatenate([order[start : start + k], order])[:k]
        for at in range(len(stops)):
            door = WatchedDoor(pipeline, config, [people[row].visits[at] for row in rows], FPS)
            for row in order[start : start + k]:
                missed[at, row] = not _let_in(door, people[row].visits[at])
    everybody = np.ones(len(people), bool)
    return [
        DimRates(
            dark_by,
            len(people),
            rate_over(missed[at], everybody.astype(float)),
            _times(missed[at], everybody, missed[0], everybody),
            rate_over(missed[at] * dark, dark.astype(float)),
            rate_over(missed[at] * ~dark, (~dark).astype(float)),
            _times(missed[at], dark, missed[at], ~dark),
        )
        for at, dark_by in enumerate(stops)
    ]


def _let_in(door: WatchedDoor, person: Visitor) -> bool:
    rng = np.random.default_rng(0)
    for _, decision in door.decisions(person.photos, STAY, rng):
        if decision.granted:
            return decision.subject == person.name
    return False


def _times(
    errors: NDArray[np.float64],
    group: NDArray[np.bool_],
    base_errors: NDArray[np.float64],
    base: NDArray[np.bool_],
) -> Rate:
    """One group's rate as a multiple of another's; people are redrawn, the same for both."""
    rows = np.random.default_rng(0).choice(len(errors), (DRAWS, len(errors)))

    def rate(
        missed: NDArray[np.float64], kept: NDArray[np.bool_], drawn: NDArray[np.int64]
    ) -> float:
        return float((missed[drawn] * kept[drawn]).sum() / max(kept[drawn].sum(), 1))

    def ratio(drawn: NDArray[np.int64]) -> float:
        below = rate(base_errors, base, drawn)
        return rate(errors, group, drawn) / below if below else float("nan")

    whole = ratio(np.arange(len(errors)))
    found = np.array([ratio(row) for row in rows])
    # Draws in which nobody of the other group was missed have no ratio.
    found = found[np.isfinite(found)]
    return interval(whole, found) if len(found) else Rate(whole, whole, whole)


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = common.options("bench.light", __doc__, "--stops 1 --stops 2")
    options.add_argument("--stops", type=float, action="append", help="repeatable; 1, 2, 3 and 4")
    options.add_argument("--k", type=int, default=100, help="enrolled people")
    options.add_argument("--people", type=int, default=1000, help="people to look at")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    return common.run(_run, parser().parse_args(words))


def _run(args: argparse.Namespace) -> int:
    pipeline = open_pipeline(bundles.read(args.bundle), "auto")
    config = common.profile(recognition={"fpir": 0.01, "tau": "worst-group"})
    stops = [0.0, *(args.stops or [1.0, 2.0, 3.0, 4.0])]
    photos = people_in(args.faces, most=args.people)
    people = []
    bar, done = progress("looking at people")
    with bar:
        for number, files in enumerate(photos):
            rng = np.random.default_rng(number)
            found = read_person(pipeline, config, files[:MOST_PHOTOS], stops, rng)
            people += [] if found is None else [found]
            done(number + 1, len(photos))
    rows = measure(pipeline, config, people, stops, args.k)
    if args.json:
        print_json(rows)
        return 0
    table = Table("darker by", "FNIR", "times ordinary", "darkest tenth", "others", "times others")
    for row in rows:
        rates = (row.fnir, row.times_ordinary, row.darkest, row.others, row.darkest_times_others)
        table.add_row(f"{row.stops:g} stops", *map(shown, rates))
    out.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
