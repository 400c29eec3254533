"""Time a whole frame of Ostiary, OpenCV's face modules and dlib: one picture, one thread.

Each peer runs as its package sets it up. So the detectors look at different numbers of pixels, and
OpenVINO may compute in a shorter float than the others: the table names what computes.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# BLAS reads these once, when numpy or dlib loads it. Without them it would search on all cores.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import cv2
import numpy as np
from rich.markup import escape
from rich.table import Table

from bench.packages import Absent, Dlib, K, OpenCv, Ostiary, Peer, Recognised
from ostiary.edge.adapters import photos
from ostiary.edge.cli.console import advice, err, out, print_json
from ostiary.edge.core.faces import geometry
from ostiary.edge.core.types import Image
from ostiary.edge.errors import OstiaryError
from ostiary.edge.models.stages import TURN, WARM_UP, Spent, spent
from ostiary.edge.runtime import bundle as bundles

SAME_FACE_IOU = 0.3
"""Detectors draw boxes differently; two boxes that overlap less are not the same face."""


@dataclass(frozen=True, slots=True)
class PeerReport:
    """One peer's times for a whole frame, and their median as a multiple of Ostiary's."""

    rival: str
    by: str
    frames: int
    spent: Spent
    times_as_slow: float


class _Rival:
    """A peer and the times it took."""

    def __init__(self, name: str, peer: Peer) -> None:
        self.name, self.peer = name, peer
        self._times: list[float] = []

    def prove(self, image: Image) -> Recognised:
        """Run one frame. Raises OstiaryError unless it gives a face and a usable embedding."""
        try:
            seen = self.peer.frame(image)
        except cv2.error as error:
            reason = error.err.strip().splitlines()[0]
            raise OstiaryError(f"{self.name} fails on the portrait: {reason}") from error
        if not np.isfinite(seen.embedding).all() or not seen.embedding.any():
            raise OstiaryError(f"{self.name} gives an embedding that is zero or not finite")
        return seen

    def turn(self, image: Image) -> None:
        """Time some frames in a row, after a few that are not counted."""
        warm_up = WARM_UP * self.peer.frames // TURN
        for number in range(warm_up + self.peer.frames):
            began = time.perf_counter()
            self.peer.frame(image)
            if number >= warm_up:
                self._times.append(time.perf_counter() - began)

    def report(self, ours: _Rival) -> PeerReport:
        found, base = spent(self._times), spent(ours._times)
        slower = round(found.p50_ms / base.p50_ms, 2)
        return PeerReport(self.name, self.peer.by, len(self._times), found, slower)


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description="Time a whole frame, detection to search, of Ostiary, OpenCV and dlib in turns."
        " The frame is the bundle's portrait. A peer that is not installed is skipped, and named.",
        epilog="example: python -m bench.peers --bundle bundle --yunet yunet.onnx",
    )
    options.add_argument("--bundle", type=Path, required=True, help="bundle directory")
    options.add_argument("--yunet", type=Path, help="YuNet ONNX file; without it OpenCV is skipped")
    options.add_argument(
        "--rounds", type=_rounds, default=300, help="frames to time, 10 or more; a fifth for dlib"
    )
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the times; exit code 2 if something is missing or a peer finds no face."""
    given = parser().parse_args(arguments)
    try:
        _compare(given.bundle, given.yunet, given.rounds, given.json)
    except OstiaryError as error:
        sys.stderr.write(f"error: {error}\n")
        if given.json:
            print_json({"error": error.message, "hint": advice(error)})
        return 2
    return 0


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 10:
        raise argparse.ArgumentTypeError(f"expected a number of 10 or more, got {text!r}")
    return int(text)


def _compare(bundle: Path, yunet: Path | None, rounds: int, json: bool) -> None:
    cv2.setNumThreads(1)
    loaded = bundles.load(bundle)
    image = photos.decode(loaded.golden()["portrait"].tobytes(), "the bundle's portrait")
    rivals, skipped = _open(loaded, yunet, image)
    with err.status("timing"):
        for _ in range(math.ceil(rounds / TURN)):
            for rival in rivals:
                rival.turn(image)
    reports = [rival.report(rivals[0]) for rival in rivals]
    if json:
        return print_json({"gallery": K, "peers": reports, "skipped": skipped})
    _show(reports, skipped)


def _open(
    bundle: bundles.Bundle, yunet: Path | None, image: Image
) -> tuple[list[_Rival], dict[str, str]]:
    """Ostiary, the peers that are installed, and why each skipped peer is missing.

    Raises OstiaryError if a peer does not find and describe the face that Ostiary finds.
    """
    openers: dict[str, Callable[[], Peer]] = {
        "OpenCV: YuNet, our encoder": partial(OpenCv, bundle, yunet, image),
        "dlib HOG": partial(Dlib, upsample=0),
        "dlib as face_recognition sets it": partial(Dlib, upsample=1),
    }
    rivals, skipped = [_Rival("Ostiary", Ostiary(bundle))], {}
    for name, opener in openers.items():
        try:
            rivals.append(_Rival(name, opener()))
        except Absent as absent:
            skipped[name] = str(absent)
    ours = rivals[0].prove(image)
    for rival in rivals[1:]:
        if geometry.iou(rival.prove(image).box_px, ours.box_px) < SAME_FACE_IOU:
            raise OstiaryError(f"{rival.name} finds another face than Ostiary")
    return rivals, skipped


def _show(reports: list[PeerReport], skipped: dict[str, str]) -> None:
    table = Table(title=f"640x480, one face, detection to search at K={K}, 1 thread")
    table.add_column("rival")
    table.add_column("by")
    for column in ("p50 ms", "p95 ms", "times as slow"):
        table.add_column(column, justify="right")
    for report in reports:
        figures = (report.spent.p50_ms, report.spent.p95_ms, report.times_as_slow)
        table.add_row(report.rival, report.by, *(f"{figure:.2f}" for figure in figures))
    out.print(table)
    for name, reason in skipped.items():
        out.print(escape(f"skipped {name}: {reason}"))


if __name__ == "__main__":
    sys.exit(main())
