"""Measure how soon an enrolled person in a crowd is let in, in both modes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec
import numpy as np
from rich.table import Table

from bench import common
from bench.common import share, shown
from bench.views.scenes import Shot, noisy, put, read_persons, room, size_of
from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.config import Config
from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.evidence import Claim, Event, Mode, Tick
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.core.types import Frame, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.observer import Observer, open_enrolled
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline

SECONDS = 4.0
IN_TIME_S = 2.0
EYES_PX = (17.0, 26.0)
"""The least and the greatest distance between the eyes of somebody in the crowd."""
COLUMNS = 6


class CrowdRates(msgspec.Struct, frozen=True):
    """The share of enrolled people let in within IN_TIME_S and within SECONDS, with 95 % intervals,
    the seconds until then (p50, p95), and the crowds in which somebody else was let in."""

    mode: str
    faces: int
    crowds: int
    in_time: Rate
    ever: Rate
    grant_s_p50: float | None
    grant_s_p95: float | None
    others_let_in: int


def measure(
    pipeline: Pipeline, people: Sequence[Shot], mode: Mode, args: argparse.Namespace
) -> CrowdRates:
    """One crowd for each of `args.crowds` enrolled people, who stand anywhere in it."""
    rng = np.random.default_rng(args.seed)
    config = common.profile(recognition={"mode": mode.value})
    waits: list[float | None] = []
    others = 0
    bar, done = progress(f"{mode.value}, {args.count} faces")
    with bar:
        for number in range(args.crowds):
            order = rng.permutation(len(people))
            who, *crowd = (people[i] for i in order[: args.count])
            gallery = [people[i] for i in order[args.count : args.count + args.k - 1]]
            picture = _crowd([who, *crowd], args.size, rng)
            enrolled = open_enrolled(pipeline, config)
            enrolled.load([(p.name, p.template[None], 1) for p in [who, *gallery]])
            granted = _watch(Observer(pipeline, config, enrolled), config, who, picture, rng, args)
            waits.append(granted.get(who.name))
            others += any(name != who.name for name in granted)
            done(number + 1, args.crowds)
    waited = [one for one in waits if one is not None]
    return CrowdRates(
        mode.value,
        args.count,
        args.crowds,
        share([one is not None and one <= IN_TIME_S for one in waits]),
        share([one is not None for one in waits]),
        _after(waited, 0.5),
        _after(waited, 0.95),
        others,
    )


def _after(waited: Sequence[float], share_let_in: float) -> float | None:
    """The seconds after which so many of those who were let in were; None if nobody was."""
    return round(float(np.quantile(waited, share_let_in)), 2) if waited else None


def _crowd(people: Sequence[Shot], size: str, rng: np.random.Generator) -> Image:
    """The people in rows, in random order and at random distances."""
    width, height = map(int, size.split("x"))
    picture = room((height, width), rng)
    rows = -(-len(people) // COLUMNS)
    for place, at in enumerate(rng.permutation(len(people))):
        person, eye_px = people[at], float(rng.uniform(*EYES_PX))
        high, wide = size_of(person, eye_px)
        row, column = divmod(place, COLUMNS)
        free = max(width // COLUMNS - wide, 0), max(height // rows - high, 0)
        x, y = (int(rng.integers(space + 1)) for space in free)
        put(picture, person, eye_px, (column * width // COLUMNS + x, row * height // rows + y))
    return picture


def _watch(
    observer: Observer,
    config: Config,
    who: Shot,
    picture: Image,
    rng: np.random.Generator,
    args: argparse.Namespace,
) -> dict[str, float]:
    """Who is let in, and after how many seconds."""
    rules, state = config.rules(), policy.State()
    claim = who.name if rules.mode is Mode.VERIFY else None
    state, _ = policy.step(rules, state, Claim(claim, enrolled=True), 0.0)
    granted: dict[str, float] = {}
    for frame in range(round(SECONDS * args.fps)):
        now = frame / args.fps
        seen = observer.observe(Frame(noisy(picture, rng), now, frame), claim)
        events: list[Event] = [sighting.evidence for sighting in seen]
        for event in events or [Tick()]:
            state, decision = policy.step(rules, state, event, now)
            if decision is not None and decision.granted and decision.subject is not None:
                granted.setdefault(decision.subject, now)
        if who.name in granted:
            break
    return granted


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = common.options("bench.views.crowd", __doc__, "--size 1920x1080")
    options.add_argument("--faces-in-view", dest="count", type=int, default=30)
    options.add_argument("--size", default="1280x720", help="WIDTHxHEIGHT of the picture")
    options.add_argument("--k", type=int, default=100)
    options.add_argument("--people", type=int, default=300)
    options.add_argument("--crowds", type=int, default=60)
    options.add_argument("--fps", type=float, default=15.0)
    options.add_argument("--seed", type=int, default=0)
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Print how soon they were let in; 2 for bad input."""
    return common.run(_run, parser().parse_args(words))


def _run(args: argparse.Namespace) -> int:
    pipeline = open_pipeline(bundles.read(args.bundle))
    people = read_persons(pipeline, args.faces, args.people, args.seed)
    if len(people) < args.count + args.k:
        raise PhotoError(f"{len(people)} people are too few", "lower --k or raise --people")
    rates = [measure(pipeline, people, mode, args) for mode in Mode]
    if args.json:
        print_json(rates)
        return 0
    table = Table("mode", "faces", "crowds", "in 2 s", "in 4 s", "p50 s", "p95 s", "others let in")
    for one in rates:
        shares = [shown(rate) for rate in (one.in_time, one.ever)]
        table.add_row(
            one.mode, str(one.faces), str(one.crowds), *shares,
            str(one.grant_s_p50), str(one.grant_s_p95), str(one.others_let_in),
        )  # fmt: skip
    out.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
