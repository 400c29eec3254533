"""`ostiary bench`: how long each stage of a frame takes, on this machine, with one bundle."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.adapters import photos
from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.models import timing as encoders
from ostiary.edge.models.stages import TURN, BackendTimes, Rival, Spent, random_gallery, spent
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.backends import CPU

LARGE_DIM = 128


@dataclass(frozen=True, slots=True)
class SearchTimes:
    """Time to search k random templates exactly, and to read their int8 codes once."""

    k: int
    dim: int
    search: Spent
    read: Spent
    ratio: float


def register(app: typer.Typer) -> None:
    app.command()(bench)


def bench(
    bundle: Annotated[
        list[Path],
        typer.Option("--bundle", help="Bundle directory; may be repeated, to compare bundles."),
    ],
    threads: Annotated[int, typer.Option(min=1, help="Threads for the models and OpenCV.")] = 1,
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Backend to time; may be repeated. Default: all that are installed."),
    ] = None,
    engines: Annotated[
        Path | None, typer.Option(help="Folder of TensorRT engines, to time TensorRT as well.")
    ] = None,
    gallery: Annotated[
        int, typer.Option(min=1, help="Templates in the gallery that each frame is searched in.")
    ] = 1000,
    large: Annotated[
        int, typer.Option(min=0, help="Templates of 128 values for one more timed search; 0: none.")
    ] = 0,
    rounds: Annotated[int, typer.Option(min=10, help="Number of frames to time.")] = 300,
    compare: Annotated[
        bool, typer.Option("--compare", help="Time the encoders alone: float and int8, in turns.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Time each stage of a 640x480 frame with one face, and the whole frame, on each backend.

    `frame + pad` adds the passive models, each of which stands under its own name too.

    Backends take turns of 50 frames, so that a machine that slows down slows all alike. Several
    bundles take turns too, each on its first backend; --compare times their encoders first.

    Examples:

    `ostiary bench --bundle bundle`

    `ostiary bench --bundle bundle --backend openvino --large 1000000`

    `ostiary bench --bundle bundle --compare`

    `ostiary bench --bundle bundle --bundle other --compare`
    """
    cv2.setNumThreads(threads)
    loaded = [bundles.load(path) for path in bundle]
    speeds = [encoders.compare(one, threads) for one in loaded] if compare else []
    if compare and len(loaded) == 1:
        return show_speeds(speeds[0], threads, as_json=json)
    image = photos.decode(loaded[0].golden()["portrait"].tobytes(), "the bundle's portrait")
    names = backend or [*(["tensorrt"] if engines else []), *_installed()]
    rivals = [
        Rival(one, name, threads, gallery, engines)
        for one in loaded
        for name in (names if backend or len(loaded) == 1 else names[:1])
    ]
    with err.status("timing"):
        for _ in range(math.ceil(rounds / TURN)):
            for rival in rivals:
                rival.turn(image)
    reports = [rival.report() for rival in rivals]
    search = bench_search(large) if large else None
    if json:
        found = {"threads": threads, "backends": reports, "search": search}
        return print_json(found | ({"encoders": speeds} if speeds else {}))
    for one, found_speeds in zip(loaded, speeds, strict=False):
        out.print(f"[bold]{escape(one.manifest.recipe)}[/]")
        show_speeds(found_speeds, threads, as_json=False)
    _show(reports, threads, gallery, search)


def bench_search(k: int, rounds: int = 30) -> SearchTimes:
    """Time, in turns, a search of k templates of 128 values and a pass over as many int8 codes."""
    gallery = random_gallery(k, LARGE_DIM)
    codes = np.ones((k, LARGE_DIM), np.int8)
    rng = np.random.default_rng(1)
    searches: list[float] = []
    reads: list[float] = []
    for _ in range(rounds):
        probe = rng.standard_normal(LARGE_DIM).astype(np.float32)
        probe /= np.linalg.norm(probe)
        searches.append(_timed(lambda probe=probe: gallery.identify(probe)))  # type: ignore[misc]
        reads.append(_timed(lambda: codes.view(np.int64).sum()))
    found, read = spent(searches), spent(reads)
    return SearchTimes(k, LARGE_DIM, found, read, found.p50_ms / read.p50_ms)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show_speeds(speeds: list[encoders.Speed], threads: int, *, as_json: bool) -> None:
    """Print the times of the encoders; `speeds[0]`, float on OpenVINO, is the reference."""
    if as_json:
        return print_json({"threads": threads, "encoders": speeds})
    first = speeds[0]
    table = Table(title=f"one face, {threads} thread(s), taking turns")
    for title in ("encoder", "ms, p50", f"times as fast as {first.name}", "file", "of float file"):
        table.add_column(title, justify="left" if title == "encoder" else "right")
    for speed in speeds:
        table.add_row(
            speed.name,
            f"{speed.p50_ms:.2f}",
            f"{first.p50_ms / speed.p50_ms:.2f}",
            f"{speed.size_bytes / 1e6:.2f} MB",
            f"{speed.size_bytes / first.size_bytes:.2f}",
        )
    out.print(table)
    best = min(
        (s for s in speeds if s.name.startswith("int8")), key=lambda s: s.p50_ms, default=None
    )
    if best is None:
        return out.print("the bundle has no int8 encoder")
    for speed in speeds:
        if not speed.name.startswith("int8"):
            out.print(
                f"{best.name} is {speed.p50_ms / best.p50_ms:.2f} times as fast as {speed.name}"
            )


def _cell(time: Spent | None) -> str:
    """A stage's time; a bundle may lack a passive model that another one has."""
    return "-" if time is None else f"{time.p50_ms:.2f} / {time.p95_ms:.2f}"


def _installed() -> list[str]:
    found = []
    for name in CPU:
        try:
            __import__(name)
        except ImportError:
            continue
        found.append(name)
    return found


def _show(reports: list[BackendTimes], threads: int, k: int, search: SearchTimes | None) -> None:
    table = Table(title=f"640x480, one face, K={k}, {threads} thread(s); ms, p50 / p95")
    table.add_column("stage")
    several = len({report.recipe for report in reports}) > 1
    for report in reports:
        whose = f"{report.recipe}, " if several else ""
        table.add_column(f"{whose}{report.backend}, {report.precision}", justify="right")
    for stage in dict.fromkeys(name for report in reports for name in report.stages):
        table.add_row(stage, *[_cell(report.stages.get(stage)) for report in reports])
    table.add_row("start-up, s", *[f"{r.start_s:.2f}" for r in reports])
    table.add_row("memory, MB", *[f"{r.memory_mb:.0f}" for r in reports])
    out.print(table)
    if several:
        first = reports[0]
        for report in reports[1:]:
            times = report.stages["frame"].p50_ms / first.stages["frame"].p50_ms
            out.print(f"a frame with {report.recipe} takes {times:.2f} times {first.recipe}'s")
    elif len(reports) == 2:
        one, other = (r.stages["frame"].p50_ms for r in reports)
        names = f"{reports[0].backend} against {reports[1].backend}"
        out.print(f"{names}: {other / one:.2f} times as fast")
    if search is not None:
        out.print(
            f"search at K={search.k:,} x {search.dim} values: {search.search.p50_ms:.2f} ms,"
            f" reading the codes once {search.read.p50_ms:.2f} ms: {search.ratio:.2f} times"
        )
