"""Measure which distant faces the door finds within a second, by the camera's picture size."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import msgspec
import numpy as np
from rich.table import Table

from bench import common
from bench.common import share, shown
from bench.views.scenes import Shot, noisy, put, read_persons, room, size_of
from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline
from ostiary.edge.vision.search import FaceSearch

SIZES = ("640x480", "1280x720", "1920x1080", "2560x1440")
EYES_PX = (16, 20, 24, 32)
WANTED_EYE_PX = 16.0
SECONDS = 1.0


class FarRates(msgspec.Struct, frozen=True):
    """One picture size and distance between the eyes: the share of people found in the first frame
    and within a second, with 95 % intervals, the share of later frames in which a face that was
    found is found again, and the milliseconds of a frame, of the whole alone and with its tiles."""

    size: str
    eye_px: int
    least_eye_px: float
    at_once: Rate
    within_1_s: Rate
    again: float | None
    whole_ms: float
    frame_ms: float


def measure(
    pipeline: Pipeline, people: Sequence[Shot], size: str, eye_px: int, args: argparse.Namespace
) -> FarRates:
    """Show each person once, somewhere in a room."""
    rng = np.random.default_rng(args.seed)
    width, height = map(int, size.split("x"))
    at_once: list[bool] = []
    ever: list[bool] = []
    again: list[bool] = []
    spent: list[float] = []
    whole: list[float] = []
    least = 0.0
    bar, done = progress(f"{size}, {eye_px} px")
    with bar:
        for number, person in enumerate(people):
            picture = room((height, width), rng)
            high, wide = size_of(person, eye_px)
            corner = int(rng.integers(width - wide)), int(rng.integers(height - high))
            box = put(picture, person, eye_px, corner)
            search = FaceSearch(pipeline, WANTED_EYE_PX)
            hits = []
            for frame in range(round(SECONDS * args.fps)):
                image = noisy(picture, rng)
                began = time.perf_counter()
                found = search.boxes(image, frame / args.fps)
                spent.append(time.perf_counter() - began)
                hits.append(any(_is_in(one, box) for one, _ in found))
                began = time.perf_counter()
                pipeline.boxes(image)
                whole.append(time.perf_counter() - began)
            least = search.least_eye_px
            at_once.append(hits[0])
            ever.append(any(hits))
            again += hits[hits.index(True) + 1 :] if any(hits) else []
            done(number + 1, len(people))
    return FarRates(
        size,
        eye_px,
        round(least, 1),
        share(at_once),
        share(ever),
        round(float(np.mean(again)), 4) if again else None,
        round(1e3 * float(np.median(whole)), 2),
        round(1e3 * float(np.median(spent)), 2),
    )


def _is_in(box: np.ndarray, place: np.ndarray) -> bool:
    """Whether a box that was found is the face set into `place`."""
    x, y = (box[:2] + box[2:]) / 2
    inside = bool(place[0] < x < place[2] and place[1] < y < place[3])
    return inside and box[2] - box[0] < 1.5 * (place[2] - place[0])


def _print(rates: Sequence[FarRates]) -> None:
    table = Table(title="Faces found, by the picture's size and the distance between the eyes")
    for name in (
        "size",
        "eyes px",
        "found from",
        "at once",
        "within 1 s",
        "again",
        "whole ms",
        "ms",
    ):
        table.add_column(name, justify="right")
    for one in rates:
        table.add_row(
            one.size, str(one.eye_px), f"{one.least_eye_px:g} px",
            shown(one.at_once), shown(one.within_1_s), str(one.again),
            f"{one.whole_ms:g}", f"{one.frame_ms:g}",
        )  # fmt: skip
    out.print(table)


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = common.options("bench.views.far", __doc__, "--size 1920x1080")
    options.add_argument("--size", action="append", help="WIDTHxHEIGHT; may be repeated")
    options.add_argument("--eyes", action="append", type=int, help="pixels; may be repeated")
    options.add_argument("--people", type=int, default=150)
    options.add_argument("--fps", type=float, default=15.0)
    options.add_argument("--seed", type=int, default=0)
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Print what was found; 2 for bad input."""
    return common.run(_run, parser().parse_args(words))


def _run(args: argparse.Namespace) -> int:
    pipeline = open_pipeline(bundles.read(args.bundle))
    people = read_persons(pipeline, args.faces, args.people, args.seed)
    rates = [
        measure(pipeline, people, size, eye, args)
        for size in args.size or SIZES
        for eye in args.eyes or EYES_PX
    ]
    if args.json:
        print_json(rates)
    else:
        _print(rates)
    return 0


if __name__ == "__main__":
    sys.exit(main())
