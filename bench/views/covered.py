"""Measure how often strangers with covered faces are let in, with and without the covered head."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from rich.table import Table

from bench import common
from bench.common import shown
from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.core.faces import quality
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.scores.metrics import Rate, rate_over
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import LIMITS, each_photo
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.covered.looks import BARE, bare_face, draw, same_face
from ostiary.export.upright.looks import photos_in

MASKS = ("surgical mask", "respirator", "cloth mask", "scarf")
SEED = 2
"""The fit and its check draw with other seeds."""
GALLERIES = ("bare", "covered", "slipped", "mixed")
STRANGERS = ("covered", "bare")


class CoveredRate(msgspec.Struct, frozen=True):
    """The share of frames of strangers that reach tau, over people, at a door with `k` templates.

    `gallery` says what the templates show: bare faces; covered ones, as without a gate; only those
    covered ones that slip through the gate; or a covered photo of each person if it slips through
    and a bare one if not. With `gate`, a frame that looks covered is not compared.
    """

    k: int
    gallery: str
    strangers: str
    gate: bool
    tau: float
    wanted: float
    frames: int
    let_in: Rate


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A face, bare or with a drawn cover, that breaks no other limit; `refused` by the head."""

    person: int
    covered: bool
    refused: bool
    template: Floats
    probe: Floats


def measure(
    curves: Curves, views: Sequence[_View], k: int, fpir: float, draws: int
) -> list[CoveredRate]:
    """Rates at one K; a gallery for which too few people are there is left out."""
    tau = curves.identify(fpir, {1: k}, visit=False).tau
    rows = []
    for gallery in GALLERIES:
        templates = _templates(views, gallery)
        if len(templates) < k:
            continue
        for strangers in STRANGERS:
            for gate in (False, True):
                # A gallery that the gate has let in does not exist without it.
                if gate or gallery in ("bare", "covered"):
                    rate, frames = _rate(views, templates, strangers, gate, k, tau, draws)
                    rows.append(CoveredRate(k, gallery, strangers, gate, tau, fpir, frames, rate))
    return rows


def _templates(views: Sequence[_View], gallery: str) -> dict[int, Floats]:
    """One template of each person who has one of this kind."""
    found: dict[int, Floats] = {}
    for view in views:
        slipped = view.covered and not view.refused
        fits = {
            "bare": not view.covered,
            "covered": view.covered,
            "slipped": slipped,
            "mixed": slipped,
        }[gallery]
        if fits:
            found.setdefault(view.person, view.template)
    if gallery == "mixed":
        for view in views:
            if not view.covered and not view.refused:
                found.setdefault(view.person, view.template)
    return found


def _rate(
    views: Sequence[_View],
    templates: dict[int, Floats],
    strangers: str,
    gate: bool,
    k: int,
    tau: float,
    draws: int,
) -> tuple[Rate, int]:
    shown = [view for view in views if view.covered == (strangers == "covered")]
    person = np.array([view.person for view in shown])
    probes = np.stack([view.probe for view in shown])
    compared = np.array([not (gate and view.refused) for view in shown])
    people = max(view.person for view in views) + 1
    errors, trials = np.zeros(people), np.zeros(people)
    rng, known = np.random.default_rng(0), sorted(templates)
    for _ in range(draws):
        enrolled = rng.choice(known, k, replace=False)
        scores = (probes @ np.stack([templates[one] for one in enrolled]).T).max(1)
        strange = ~np.isin(person, enrolled)
        np.add.at(errors, person[strange], (compared & (scores >= tau))[strange].astype(float))
        np.add.at(trials, person[strange], 1.0)
    return rate_over(errors, trials), len(shown)


def read_views(bundle: Bundle, faces: Path, kinds: Sequence[str]) -> list[_View]:
    """Each photo as it is and with one cover of these kinds, where the face is found and breaks no
    limit but the cover's. Raises PhotoError."""
    files = photos_in(faces)
    people = {name: i for i, name in enumerate(sorted({f.parent.name for f in files}))}
    work = [(i, people[f.parent.name], f, kinds[i % len(kinds)]) for i, f in enumerate(files)]
    bar, done = progress("drawing covers on faces")
    with bar:
        found = each_photo(bundle, work, _seen, done=done)
    return [view for photo in found for view in photo]


def _seen(pipeline: Pipeline, item: tuple[int, int, Path, str]) -> list[_View]:
    number, person, file, kind = item
    bare = bare_face(pipeline, file)
    if bare is None:
        return []
    photo, face, points_px = bare
    drawn = draw(photo, points_px, kind, np.random.default_rng([number, SEED]))
    found = []
    for worn, picture, seen in (
        (BARE, photo, face),
        (kind, drawn, same_face(pipeline, drawn, face)),
    ):
        if seen is None:
            continue
        crop = pipeline.align(picture, seen)
        failed = set(quality.failures(pipeline.quality(seen, crop), LIMITS))
        if failed <= {quality.COVERED}:
            templates = pipeline.embed(crop), pipeline.probe(crop)
            found.append(_View(person, worn != BARE, bool(failed), *templates))
    return found


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    people = f"{common.PEOPLE}; not of the fit"
    options = common.options("bench.views.covered", __doc__, "--k 10 --k 100", people)
    options.add_argument("--k", type=int, action="append", help="templates; repeatable; 10 100 300")
    options.add_argument("--fpir", type=float, default=0.01, help="rate asked")
    options.add_argument("--cover", action="append", help="kinds of covers; masks by default")
    options.add_argument("--tau", default="worst-group", help="worst-group or mean")
    options.add_argument("--draws", type=int, default=20, help="random enrollments")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    return common.run(_run, parser().parse_args(words))


def _run(args: argparse.Namespace) -> int:
    bundle = bundles.read(args.bundle)
    curves = bundle.det().curves_for(bundle.comparison, worst=args.tau == "worst-group")
    views = read_views(bundle, args.faces, args.cover or MASKS)
    if not any(view.covered for view in views):
        raise PhotoError(f"no face with a cover was found in {args.faces}")
    rows = [
        row
        for k in args.k or (10, 100, 300)
        for row in measure(curves, views, k, args.fpir, args.draws)
    ]
    if args.json:
        print_json(rows)
        return 0
    table = Table("K", "templates", "strangers", "gate", "frames", "let in", "asked")
    for row in rows:
        gate = "yes" if row.gate else "no"
        counted = (str(row.frames), shown(row.let_in), f"{row.wanted:g}")
        table.add_row(str(row.k), row.gallery, row.strangers, gate, *counted)
    out.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
