"""Measure how often strangers who wait get in, and how often enrolled people are kept out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec
import numpy as np
from rich.table import Table

from bench import common
from bench.common import shown
from bench.stays import STAYS, Stay, Visitor, WatchedDoor, read_people
from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.config import Config
from ostiary.edge.core.scores.metrics import Rate, rate_over
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline

ENROLLED_S = 3.0
"""Seconds that an enrolled person stands before the door."""


class WaitingRates(msgspec.Struct, frozen=True):
    """The rates at one K and FPIR; `fpir` by stay, with 95 % intervals over people."""

    k: int
    wanted: float
    tau: float
    strangers: int
    fpir: dict[str, Rate]
    fnir: Rate
    grant_s_p50: float


def measure(
    pipeline: Pipeline, config: Config, people: Sequence[Visitor], k: int, args: argparse.Namespace
) -> WaitingRates:
    """FPIR of each stay and FNIR of the enrolled, over `args.draws` random enrollments."""
    rng = np.random.default_rng(args.seed)
    let_in: dict[str, dict[str, list[bool]]] = {stay.name: {} for stay in args.stays}
    missed: dict[str, list[bool]] = {}
    waits: list[float] = []
    several = [p for p in people if len(p.photos) > 1]
    if len(several) < k:
        raise PhotoError(
            f"only {len(several)} people have two usable photos", "ask for a smaller K"
        )
    bar, done = progress(f"K={k} FPIR {config.recognition.fpir:g}")
    with bar:
        for draw in range(args.draws):
            enrolled = [several[i] for i in rng.choice(len(several), k, replace=False)]
            names = {person.name for person in enrolled}
            door = WatchedDoor(pipeline, config, enrolled, args.fps)
            strangers = [p for p in people if p.name not in names][: args.strangers]
            for number, person in enumerate([*strangers, *enrolled]):
                if person.name in names:
                    wait = _wait(door, person, rng)
                    missed.setdefault(person.name, []).append(wait is None)
                    waits += [] if wait is None else [wait]
                else:
                    for stay in args.stays:
                        came = any(d.granted for _, d in door.decisions(person.photos, stay, rng))
                        let_in[stay.name].setdefault(person.name, []).append(came)
                done(draw * (k + len(strangers)) + number + 1, args.draws * (k + len(strangers)))
    return WaitingRates(
        k,
        config.recognition.fpir,
        door.tau,
        len(strangers),
        {name: _rate(found) for name, found in let_in.items()},
        _rate(missed),
        float(np.median(waits)) if waits else float("nan"),
    )


def _wait(door: WatchedDoor, person: Visitor, rng: np.random.Generator) -> float | None:
    """Seconds until an enrolled person is granted as themselves, by photos not enrolled."""
    order = [person.photos[1:][i] for i in rng.permutation(len(person.photos) - 1)]
    for now, decision in door.decisions(order, Stay("enrolled", ENROLLED_S), rng):
        if decision.granted:
            return now if decision.subject == person.name else None
    return None


def _rate(by_person: dict[str, list[bool]]) -> Rate:
    """The mean, with an interval over people."""
    errors, trials = (
        np.array([count(found) for found in by_person.values()], np.float64) for count in (sum, len)
    )
    return rate_over(errors, trials)


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    people = f"{common.PEOPLE}; not of the curves"
    options = common.options("bench.waiting", __doc__, "--k 100 --k 300", people)
    options.add_argument("--k", type=int, action="append", help="enrolled people; repeatable; 100")
    options.add_argument("--fpir", type=float, action="append", help="rates asked; repeatable; .01")
    options.add_argument("--people", type=int, default=800, help="people to look at")
    options.add_argument("--strangers", type=int, default=400, help="strangers of each draw")
    options.add_argument("--draws", type=int, default=2, help="random enrollments")
    options.add_argument("--fps", type=float, default=8.0, help="frames a second")
    options.add_argument("--stay", action="append", help="only stays of these names")
    options.add_argument("--tau", default="worst-group", help="worst-group or mean")
    options.add_argument("--seed", type=int, default=0)
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    return common.run(_run, parser().parse_args(words))


def _asking(fpir: float, tau: str) -> Config:
    """The profile of a door that asks for this FPIR."""
    return common.profile(recognition={"fpir": fpir, "tau": tau})


def _run(args: argparse.Namespace) -> int:
    args.stays = [stay for stay in STAYS if not args.stay or stay.name in args.stay]
    pipeline = open_pipeline(bundles.read(args.bundle), "auto")
    people = read_people(pipeline, _asking(0.01, args.tau), args.faces, args.people, args.seed)
    found = [
        measure(pipeline, _asking(fpir, args.tau), people, k, args)
        for k in args.k or [100]
        for fpir in args.fpir or [0.01]
    ]
    if args.json:
        print_json(found)
        return 0
    table = Table("K", "FPIR asked", *(stay.name for stay in args.stays), "FNIR", "p50 to grant")
    for row in found:
        cells = [shown(rate) for rate in (*row.fpir.values(), row.fnir)]
        table.add_row(str(row.k), f"{row.wanted:g}", *cells, f"{row.grant_s_p50:.2f} s")
    out.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
