"""Measure how many strangers get in who try card after card in verify mode."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from rich.table import Table

from bench import common
from bench.common import share, shown
from bench.stays import Shown, Visitor, read_people
from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.config import Config
from ostiary.edge.core.rules import policy
from ostiary.edge.core.rules.evidence import Claim
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.core.types import Frame
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.observer import Observer, open_enrolled
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline

NEXT_CARD_S = 1.0
"""Seconds from an answer until the next card is read."""


class CardRates(msgspec.Struct, frozen=True):
    """The share of strangers who got any grant, with a 95 % interval over people."""

    fmr: float
    cards: int
    failures: int
    strangers: int
    any_grant: Rate


def measure(
    pipeline: Pipeline, people: Sequence[Visitor], failures: int, args: argparse.Namespace
) -> CardRates:
    """Each stranger tries the cards of random enrolled people, one after the other."""
    rng = np.random.default_rng(args.seed)
    order = rng.permutation(len(people))
    enrolled = [people[i] for i in order[: args.k]]
    strangers = [people[i] for i in order[args.k :]][: args.strangers]
    if len(enrolled) < args.cards or not strangers:
        raise PhotoError("there are too few people", "raise --people, or lower --k or --cards")
    config = _door(args, failures)
    let_in = []
    bar, done = progress(f"{failures} failures lock out" if failures else "no lockout")
    with bar:
        for number, person in enumerate(strangers):
            cards = [enrolled[i].name for i in rng.permutation(args.k)[: args.cards]]
            let_in.append(_any_grant(pipeline, config, enrolled, person, cards, args.fps, rng))
            done(number + 1, len(strangers))
    return CardRates(args.fmr, args.cards, failures, len(strangers), share(let_in))


def _any_grant(
    pipeline: Pipeline,
    config: Config,
    enrolled: Sequence[Visitor],
    person: Visitor,
    cards: Sequence[str],
    fps: float,
    rng: np.random.Generator,
) -> bool:
    looks = [look for photo in person.photos for look in photo]
    door: Any = Shown(pipeline, looks)
    gallery = open_enrolled(pipeline, config)
    gallery.load([(p.name, p.template[None], 1) for p in enrolled])
    observer = Observer(door, config, gallery)
    rules, state, now = config.rules(), policy.State(), 0.0
    for card in cards:
        state, decision = policy.step(rules, state, Claim(card, enrolled=True), now)
        while decision is None:
            now += 1 / fps
            image = np.full((1, 1, 3), rng.integers(len(looks)), np.uint8)
            (seen,) = observer.observe(Frame(image, now, 0), card)
            state, decision = policy.step(rules, state, seen.evidence, now)
        if decision.granted:
            return True
        now += NEXT_CARD_S
    return False


def _door(args: argparse.Namespace, failures: int) -> Config:
    """A door in verify mode that locks out after so many failures, or never after 0."""
    wanted = {"mode": "verify", "fmr": args.fmr, "tau": args.tau}
    return common.profile(recognition=wanted, lockout={"failures": failures})


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = common.options("bench.cards", __doc__, "--cards 100")
    options.add_argument("--cards", type=int, default=100, help="cards that a stranger tries")
    options.add_argument("--k", type=int, default=300, help="enrolled people")
    options.add_argument("--people", type=int, default=800, help="people to look at")
    options.add_argument("--strangers", type=int, default=400)
    options.add_argument("--fmr", type=float, default=0.001, help="rate asked")
    options.add_argument("--tau", default="worst-group", help="worst-group or mean")
    options.add_argument("--fps", type=float, default=8.0, help="frames a second")
    options.add_argument("--seed", type=int, default=0)
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Print the rates with the default lockout and without one; 2 for bad input."""
    return common.run(_run, parser().parse_args(words))


def _run(args: argparse.Namespace) -> int:
    pipeline = open_pipeline(bundles.read(args.bundle))
    config = _door(args, failures=0)
    people = read_people(pipeline, config, args.faces, args.people, args.seed)
    rates = [measure(pipeline, people, failures, args) for failures in (5, 0)]
    if args.json:
        print_json(rates)
        return 0
    table = Table("FMR asked", "cards", "failures until locked out", "strangers", "any grant")
    for one in rates:
        locked = str(one.failures) if one.failures else "never"
        row = f"{one.fmr:g}", str(one.cards), locked, str(one.strangers), shown(one.any_grant)
        table.add_row(*row)
    out.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
