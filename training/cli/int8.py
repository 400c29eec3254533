"""`ostiary-train int8`: trains a bundle's int8 encoder to embed as its float encoder does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import onnx
import torch
import typer
from rich.markup import escape
from rich.table import Table as Shown

from ostiary.edge.cli.console import out, print_json
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.errors import BundleError
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import FLOAT, Bundle
from ostiary.edge.runtime.det import DetFile
from ostiary.export.faces import learned
from ostiary.export.faces.crops import Crops, data_set_name
from ostiary.export.graphs import normal_form
from ostiary.export.int8 import quantize
from ostiary.export.judge import gate as gates
from ostiary.export.judge.gate import Encoders
from ostiary.export.plan import recipe as recipes
from ostiary.export.records import calibration_table as tables
from ostiary.export.records import limits_file
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import Gate
from ostiary.training.cli.faces import found_in, say
from ostiary.training.cli.runs import Json, Resume, Seed, Threads, held, refuse, watching
from ostiary.training.run import loop
from ostiary.training.run.distributed import ALONE
from ostiary.training.tasks import int8
from ostiary.training.tasks.int8 import Teaching

FAILED = 1
USUAL = Teaching()


def register(app: typer.Typer) -> None:
    app.command("int8")(teach)


def teach(
    bundle: Annotated[Path, typer.Option(help="Bundle whose int8 encoder is trained.")],
    faces: Annotated[Path, typer.Option(help="Folder with one folder of photos per person.")],
    run: Annotated[Path, typer.Option("--out", help="Folder to write the run to.")],
    data_set: Annotated[str, typer.Option(help="Name of the photos, kept with the results.")] = "",
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs.")] = USUAL.optimiser.epochs,
    rate: Annotated[
        float, typer.Option(min=1e-6, max=1, help="Highest learning rate, in int8 steps.")
    ] = USUAL.optimiser.rate,
    seed: Seed = USUAL.seed,
    threads: Threads = 1,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Train a bundle's int8 encoder to embed as its float encoder does, every layer in int8.

    Training needs no names. It takes the people with a single photo, those who share a photo with
    another name and those whom the float encoder learned from; if these are too few, also people
    with few photos. The gate measures on everybody else, before and after. The float encoder, its
    id and all templates stay valid: the result is a calibration table that holds how far each
    weight of the int8 file moved.

    Exit code 1: the trained encoder fails the gate, or the float encoder is too weak for it.

    Examples:

    `ostiary-train int8 --bundle bundle --faces faces --out taught`

    `ostiary-export build mobilefacenet-192 --recorded taught --out bundle-2`
    """
    settings = Teaching(
        seed=seed,
        optimiser=msgspec.structs.replace(USUAL.optimiser, epochs=epochs, rate=rate),
        threads=threads,
    )
    torch.set_num_threads(threads)
    raw = msgspec.toml.encode(settings)
    refuse(run, resume, raw)
    loaded = bundles.read(bundle)
    recipe, begun, name = _recipe(loaded), _table(loaded), data_set_name(faces, data_set)
    # Keep people with one photo too: this training needs no names.
    found = found_in(faces, loaded, 1, learned.in_bundle(loaded))
    chosen, others = int8.pupils(found), found.judges()
    model, spec = onnx.load(str(bundle / loaded.model(FLOAT).file)), loaded.model(FLOAT).spec
    with held(run, raw, ALONE):
        say(f"training on {len(chosen)} photos of {chosen.people} people")
        start = int8.begin(model, begun, chosen, spec, say)
        # Evaluate first: this fails early if too few people are left to evaluate on.
        before, _ = _judged(loaded, model, start, others, name)
        lessons = int8.prepare(model, start, chosen, settings, spec)
        with watching(run, lessons.steps, ALONE) as watchers:
            outcome = loop.fit(lessons.task, settings, run, lessons.made_with, resume, watchers)
        taught = int8.end(lessons, outcome, chosen, name)
        after, curve = _judged(loaded, model, taught, others, name)
        _write(run, recipe, taught, after, curve)
    if json:
        print_json({"lesson": taught.lesson, "before": before, "after": after})
    else:
        _show(run, recipe, taught, before, after)
    if not after.passed:
        raise typer.Exit(FAILED)


def _recipe(loaded: Bundle) -> str:
    """The recipe's name, used in the run's file names. Raises BundleError if it is invalid."""
    recipe = loaded.manifest.recipe
    if not recipes.NAME.fullmatch(recipe):
        raise BundleError(
            f"{loaded.path}: {recipe!r} is not a valid recipe name", "build the bundle again"
        )
    return recipe


def _table(loaded: Bundle) -> Table:
    if tables.FILE not in loaded.manifest.files:
        raise BundleError(
            f"{loaded.path} has no calibration table", "build the bundle with an int8 encoder"
        )
    return tables.read(loaded.path / tables.FILE)


def _judged(
    loaded: Bundle, model: onnx.ModelProto, table: Table, crops: Crops, data_set: str
) -> tuple[Gate, DetFile]:
    """The gate's verdict on the int8 encoder of a table."""
    rounded = normal_form.to_bytes(quantize.quantize(model, table))
    encoders = Encoders(normal_form.to_bytes(model), rounded, loaded.model(FLOAT).spec, table)
    return gates.measure(encoders, crops, data_set, limits_file.in_bundle(loaded), say)


def _write(run: Path, recipe: str, taught: Table, gate: Gate, curve: DetFile) -> None:
    """Write the results as a recipe's measurements, which `build --recorded` reads."""
    write_atomically(run / f"{recipe}.table.json", tables.to_text(taught))
    verdict = msgspec.json.format(msgspec.json.encode(gate), indent=1)
    write_atomically(run / f"{recipe}.gate.json", verdict + b"\n")
    write_atomically(run / f"{recipe}.det.json", msgspec.json.encode(curve) + b"\n")


def _show(run: Path, recipe: str, taught: Table, before: Gate, after: Gate) -> None:
    out.print(escape(str(taught.lesson)))
    shown = Shown(title="TAR lost to int8 with 95 % intervals over people, every layer in int8")
    for title in ("FMR", "comparison", "before", "after", "allowed"):
        shown.add_column(title, justify="right", no_wrap=True)
    for was, item in zip(before.losses, after.losses, strict=True):
        words = item.comparison.replace("_", " / ")
        limit = "-" if item.limit is None else f"{item.limit}"
        shown.add_row(f"{item.fmr:.0e}", words, _range(was.loss), _range(item.loss), limit)
    out.print(shown)
    out.print(f"median cosine {before.cosine.median:.5f} before, {after.cosine.median:.5f} after")
    for failure in after.failures:
        out.print(f"[bold red]{escape(failure)}[/]")
    for weakness in after.weak:
        out.print(f"[bold yellow]the float encoder {escape(weakness)}[/]")
    if after.passed:
        out.print("[bold green]passed[/]")
    # A user's own encoder is built from its TOML file, not from a shipped recipe.
    plan = recipe if recipe in recipes.shipped() else f"{recipe}.toml"
    out.print(escape(f"next: ostiary-export build {plan} --recorded {run} --out BUNDLE"))


def _range(rate: Rate) -> str:
    return f"{rate.value:+.4f}  {rate.low:+.4f} to {rate.high:+.4f}"
