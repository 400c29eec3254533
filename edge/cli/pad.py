"""`ostiary pad`: presentation attack detection, measured on recordings, and fitted to a site."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import cv2
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, new_app, out, print_json, progress
from ostiary.edge.core.pad.rules import PadRules
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.errors import RecordingError
from ostiary.edge.files import write_atomically
from ostiary.edge.presentations import fitting, granting, rates
from ostiary.edge.presentations.cache import TraceCache, traces
from ostiary.edge.presentations.labels import recordings
from ostiary.edge.presentations.rates import PadEvaluation, PadRate
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.presentations.tracing import Trace
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.heads import pad_file
from ostiary.edge.sections import PadSection
from ostiary.edge.vision.liveness import read_pad_file

Folder = Annotated[Path, typer.Argument(help="Folder of recordings, as docs/pad.md lays them out.")]
BundleDir = Annotated[Path, typer.Option("--bundle", help="Bundle directory.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="File that keeps what the models said, for the next command."),
]
Backend = Annotated[str, typer.Option("--backend", help="Backend: auto, openvino or onnxruntime.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = new_app(
        "Measure and fit presentation attack detection (PAD), on recordings.\n\n"
        "Example: `ostiary pad fit recordings --bundle bundle --out pad.json`"
    )
    group.command()(evaluate)
    group.command()(fit)
    app.add_typer(group, name="pad")


def evaluate(
    folder: Folder,
    bundle: BundleDir,
    pad: Annotated[
        Path | None, typer.Option(help="Rules (pad.json). Default: the bundle's own.")
    ] = None,
    within: Annotated[
        float, typer.Option(min=0.1, max=60, help="Seconds in which a verdict must be reached.")
    ] = fitting.WITHIN_S,
    windows: Annotated[
        float | None,
        typer.Option(min=0.1, max=3600, help="Seconds after which a face is judged afresh."),
    ] = None,
    enroll: Annotated[
        bool, typer.Option("--enroll", help="Measure whole doors too, with the people enrolled.")
    ] = False,
    fill: Annotated[
        Path | None,
        typer.Option(help="Folder with photos of other people to enroll, one subfolder each."),
    ] = None,
    k: Annotated[int, typer.Option(min=1, help="People enrolled in all, with --fill.")] = 100,
    cache: Cache = None,
    backend: Backend = "auto",
    json: Json = False,
) -> None:
    """Measure APCER and BPCER on recordings of living people and of attacks.

    A presentation is one recording of one person or one attack. Its verdict is bona fide if the
    door's rules said so at any time within --within seconds of the first frame with a face.

    APCER is the share of attack presentations that are bona fide by that verdict. BPCER is the
    share of bona fide presentations that are not. **An undecided bona fide counts as an error,
    because that person is not let in; an undecided attack does not.** Undecided ones are counted
    apart as well.

    A whole visit is judged to the end of the recording, and ends at the first verdict of an attack.

    With --enroll each person is enrolled from the first good frame of their first bona fide
    presentation, and every presentation is shown to a whole door, with PAD and without. IAPAR is
    the share of attack presentations in which the door opens.

    Every rate has a 95 % interval over people, not recordings.

    Example: `ostiary pad evaluate recordings --bundle bundle --pad pad.json --windows 3.2`
    """
    loaded = bundles.read(bundle)
    rules = _rules(loaded, pad)
    shown = recordings(folder)
    traced = _traced(loaded, shown, rules.apart_s, cache, backend)
    seen = rates.replayed(shown, traced, rules, within, windows)
    found = rates.evaluate(seen, within, windows)
    if enroll:
        doors, count = _doors(loaded, shown, pad, fill, k, backend)
        found.rates.extend(doors)
        err.print(f"{count} people are enrolled")
    if json:
        return print_json({"data_set": str(folder), "evaluation": found})
    _show(found)


def fit(
    folder: Folder,
    bundle: BundleDir,
    write: Annotated[Path, typer.Option("--out", help="File to write, such as pad.json.")],
    bpcer: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Share of living people that may fail.")
    ] = 0.05,
    data_set: Annotated[
        str, typer.Option(help="Name of the recordings in the file. Default: the folder's.")
    ] = "",
    cache: Cache = None,
    backend: Backend = "auto",
    json: Json = False,
) -> None:
    """Fit the rules of PAD to a site, from recordings of living people alone.

    Attacks in the folder are left out: whoever fits on the attacks at hand prepares for those
    only. Record fifteen people or more, before the camera and in the light of the door.

    The BPCER that is told is that of people left out: the fit is repeated without each person in
    turn, and asked about that person.

    Example: `ostiary pad fit recordings --bundle bundle --bpcer 0.05 --out pad.json`
    """
    loaded = bundles.read(bundle)
    shown = recordings(folder)
    living = [one for one in shown if not one.is_attack]
    if len(living) < len(shown):
        err.print(f"{len(shown) - len(living)} attacks are left out: only living people count")
    if not write.parent.is_dir():
        raise RecordingError(f"there is no folder {write.parent} to write {write.name} to")
    people = {one.person for one in living}
    if len(people) < fitting.FEWEST:
        raise RecordingError(*fitting.too_few(len(people)))
    traced = _traced(loaded, living, fitting.APART_S, cache, backend)
    by_person: dict[str, list[Trace]] = {}
    for one, trace in zip(living, traced, strict=True):
        by_person.setdefault(one.person, []).append(trace)
    models = fitting.models_of(loaded, traced)
    made = fitting.fit(by_person, bpcer, models, data_set or folder.resolve().name)
    bar, done = progress("leaving each person out")
    with bar:
        left_out = fitting.leave_one_out(by_person, bpcer, done)
    write_atomically(write, pad_file.to_text(made))
    if len(by_person) < fitting.FEW:
        err.print(
            f"[yellow]warning:[/] with {len(by_person)} people the BPCER may be far from the one"
            f" asked: record {fitting.FEW} or more"
        )
    if json:
        return print_json({"file": str(write), "pad": made, "left_out": left_out})
    rate = left_out.bpcer
    out.print(
        f"{escape(str(write))}: fitted on {len(by_person)} people for a BPCER of {bpcer:g}\n"
        f"BPCER of people left out {_share(rate)}, {left_out.verdicts} verdicts,"
        f" {left_out.undecided} undecided"
    )


def _rules(bundle: Bundle, pad: Path | None) -> PadRules:
    """The rules of a file, or else the bundle's; a door without either has those of its profile."""
    chosen = bundle.pad if pad is None else read_pad_file(pad, bundle)
    if chosen is not None:
        return chosen.rules()
    usual = PadSection()
    err.print(
        "[yellow]warning:[/] the bundle has no pad.json: the profile's usual limits are taken"
    )
    return pad_file.unmeasured(usual.min_live, usual.frames)


def _traced(
    bundle: Bundle, shown: Sequence[Recording], apart_s: float, cache: Path | None, backend: str
) -> list[Trace]:
    cv2.setNumThreads(1)
    bar, done = progress("looking at presentations")
    with bar:
        return traces(bundle, shown, apart_s, TraceCache(cache), backend, done)


def _doors(
    bundle: Bundle,
    shown: Sequence[Recording],
    pad: Path | None,
    fill: Path | None,
    k: int,
    backend: str,
) -> tuple[list[PadRate], int]:
    """The rates of whole doors, with PAD and without, and the number of people enrolled."""
    templates = granting.shown_people(bundle, shown, backend)
    everybody = templates
    if fill is not None:
        everybody = granting.filled(templates, bundle, fill, k, backend)
    found = {}
    for name, required in ((granting.WITH, True), (granting.WITHOUT, False)):
        config = granting.door_config(pad, required)
        bar, done = progress(f"before a door {name}")
        with bar:
            found[name] = granting.grants(bundle, shown, everybody, config, backend, done)
    return granting.rated(shown, found, templates), len(everybody)


def _show(found: PadEvaluation) -> None:
    again = f", afresh each {found.windows_s:g} s" if found.windows_s is not None else ""
    table = Table(title=f"verdicts within {found.within_s:g} s{again}")
    for name in ("measure", "of", "rate", "95 %", "presentations", "verdicts", "people"):
        table.add_column(name, justify="left" if name in ("measure", "of") else "right")
    table.add_column("undecided", justify="right")
    for row in found.rates:
        table.add_row(*_cells(row))
    out.print(table)
    for one in found.scores:
        out.print(f"EER of the {one.kind} scores: {one.eer:.3f}")


def _cells(row: PadRate) -> list[str]:
    unsure = "" if row.undecided is None else row.undecided
    counts = (row.presentations, row.verdicts, row.people, unsure)
    bounds = f"{row.rate.low:.3f} to {row.rate.high:.3f}"
    return [escape(row.measure), escape(row.of), f"{row.rate.value:.3f}", bounds, *map(str, counts)]


def _share(rate: Rate) -> str:
    return f"{rate.value:.3f} (95 % interval {rate.low:.3f} to {rate.high:.3f})"
