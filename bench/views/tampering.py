"""Measure what a picture costs that is looked at for loops, covers and moves."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
from rich.table import Table

from ostiary.edge.cli.console import out, print_json
from ostiary.edge.core.scene.sampling import sampled
from ostiary.edge.core.scene.watch import SceneWatch

SIZES = ((640, 480), (1920, 1080))
PICTURES = 12
"""Different pictures that are shown in turn, too many for a processor's cache."""
FILLING = 2100
"""Pictures before the measured ones: then all that is remembered is full."""


class PictureCost(msgspec.Struct, frozen=True):
    """Milliseconds of processor time for a picture of this size."""

    width: int
    height: int
    p50: float
    mean: float
    p95: float


def measure(width: int, height: int, fps: float, looks: int) -> PictureCost:
    """The cost of a picture of a live source at `fps`, over so many looks."""
    rng, watch = np.random.default_rng(1), SceneWatch(4.0)
    shown = [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(PICTURES)]
    spent: list[float] = []
    for number in range(FILLING + looks):
        picture = shown[number % PICTURES]
        picture[0, :64] = rng.integers(0, 256, (64, 3))
        before = time.thread_time()
        watch.look(picture, number / fps, sampled(picture))
        spent.append((time.thread_time() - before) * 1e3)
    taken = np.array(spent[FILLING:])
    p50, p95 = np.quantile(taken, (0.5, 0.95))
    figures = (float(p50), float(taken.mean()), float(p95))
    return PictureCost(width, height, *(round(figure, 3) for figure in figures))


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = argparse.ArgumentParser(
        prog="python -m bench.views.tampering",
        description=__doc__,
        epilog="example: python -m bench.views.tampering --fps 15",
    )
    options.add_argument("--fps", type=float, default=15.0, help="pictures a second")
    options.add_argument("--looks", type=int, default=1500, help="pictures that are measured")
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    args = parser().parse_args(words)
    cv2.setNumThreads(1)
    rows = [measure(*size, args.fps, args.looks) for size in SIZES]
    if args.json:
        print_json(rows)
        return 0
    table = Table("picture", "ms p50", "mean", "p95")
    for row in rows:
        figures = (f"{figure:.2f}" for figure in (row.p50, row.mean, row.p95))
        table.add_row(f"{row.width}x{row.height}", *figures)
    out.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
