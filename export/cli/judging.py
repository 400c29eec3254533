"""`ostiary-export verify`, `sensitivity` and `evaluate`: measure a bundle's encoders on faces."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import msgspec
import onnx
import typer
from rich.markup import escape

from ostiary.edge.cli.console import err, print_json, progress
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.export.bundle.release import read_measured, release
from ostiary.export.bundle.staging import copied
from ostiary.export.cli import tables
from ostiary.export.cli.making import FAILED, Json, Key, MaxCrossLoss, MaxLoss, stages
from ostiary.export.faces import learned
from ostiary.export.faces import open_set as evaluation
from ostiary.export.faces.crops import Crops, data_set_name, read_crops
from ostiary.export.graphs import run
from ostiary.export.int8 import sensitivity
from ostiary.export.judge import gate as gates
from ostiary.export.records.results import USUAL, GateLimits, OpenSetRow, TarRow

BundleDir = Annotated[Path, typer.Argument(help="Bundle directory that `build` wrote.")]
Faces = Annotated[Path, typer.Option(help="Folder with one subfolder of photos per person.")]
DataSet = Annotated[
    str, typer.Option(help="Name of the faces, kept with the results; the folder's by default.")
]


def register(app: typer.Typer) -> None:
    app.command()(verify)
    app.command("sensitivity")(per_layer)
    app.command()(evaluate)


def verify(
    bundle: BundleDir,
    faces: Faces,
    data_set: DataSet = "",
    max_loss: MaxLoss = USUAL.int8_int8,
    max_cross_loss: MaxCrossLoss = USUAL.float_int8,
    fmr: Annotated[
        list[float] | None, typer.Option(help="FMR at which the limits apply; may be repeated.")
    ] = None,
    write: Annotated[
        bool,
        typer.Option(help="Store the verdict in the bundle; sign it, or remove its signature."),
    ] = True,
    key: Key = None,
    json: Json = False,
) -> None:
    """Compare a bundle's int8 encoder with its float encoder on faces (the gate).

    Left out: photos that int8 was calibrated on, and people whom the encoder learned from. The 95 %
    intervals are over people, not over photos.

    Exit code 0: passed, 1: failed (and the bundle is no longer signed), 2: bad input.

    Example: `ostiary-export verify bundle --faces lfw --data-set LFW`
    """
    loaded = bundles.read(bundle)
    measured = read_measured(loaded)
    if INT8 not in loaded.manifest.models.items():
        raise BundleError(f"{bundle} has no int8 encoder: there is nothing to compare")
    limits = GateLimits(
        fmrs=tuple(fmr) if fmr else USUAL.fmrs, int8_int8=max_loss, float_int8=max_cross_loss
    )
    encoders = gates.Encoders(
        (bundle / loaded.model(FLOAT).file).read_bytes(),
        (bundle / loaded.model(INT8).file).read_bytes(),
        loaded.model(FLOAT).spec,
        measured.table,
        learned.in_bundle(loaded),
    )
    crops = _crops(loaded, faces)
    with stages("verify") as say:
        name = data_set_name(faces, data_set)
        gate, det = gates.measure(encoders, crops, name, limits, say)
        if write:
            manifest = msgspec.structs.replace(loaded.manifest, proven_on=gate.proven_on)
            changed = dataclasses.replace(measured, gate=gate, curve=det)
            with copied(loaded.path) as folder:
                release(Bundle(folder, manifest, None), changed, key, say)
    if json:
        print_json(gate)
    else:
        tables.show_gate(gate)
    if not gate.passed:
        raise typer.Exit(FAILED)


def _crops(loaded: Bundle, faces: Path) -> Crops:
    bar, done = progress("finding faces")
    with bar:
        return read_crops(loaded, faces, "auto", done)


def _strangers(loaded: Bundle, faces: Path) -> Crops:
    """The crops of people whom the encoder did not learn from."""
    found = _crops(loaded, faces)
    return learned.strangers(found, learned.in_bundle(loaded), lambda line: err.print(escape(line)))


def per_layer(
    bundle: BundleDir,
    faces: Faces,
    write: Annotated[bool, typer.Option(help="Store the costs in the bundle and report.")] = True,
    key: Key = None,
    json: Json = False,
) -> None:
    """Measure what rounding each layer alone to int8 costs, in embedding cosine and in TAR.

    Example: `ostiary-export sensitivity bundle --faces lfw`
    """
    loaded = bundles.read(bundle)
    measured = read_measured(loaded)
    if measured.table is None:
        raise BundleError(f"{bundle} has no calibration table", "build it with int8")
    model = onnx.load(str(bundle / loaded.model(FLOAT).file))
    crops = _strangers(loaded, faces)
    bar, done = progress("layers")
    with bar:
        layers = sensitivity.measure(model, measured.table, crops, loaded.model(FLOAT).spec, done)
    if write:
        with stages("sensitivity") as say, copied(loaded.path) as folder:
            changed = dataclasses.replace(measured, layers=layers)
            release(Bundle(folder, loaded.manifest, None), changed, key, say)
    if json:
        return print_json(layers)
    tables.show_layers(layers)


def evaluate(
    bundle: BundleDir,
    faces: Faces,
    data_set: DataSet = "",
    fpir: Annotated[
        float, typer.Option(min=1e-6, max=0.5, help="FPIR that tau of the open-set test is for.")
    ] = 0.01,
    k: Annotated[
        list[int] | None,
        typer.Option(help="Number of enrolled people; may be repeated; 100 and 300 by default."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Random enrollments for each K.")] = 20,
    seed: Annotated[int, typer.Option(help="Random seed of the enrollments.")] = 0,
    write: Annotated[
        bool, typer.Option("--write", help="Store the DET curve in the bundle (without int8 only).")
    ] = False,
    key: Key = None,
    json: Json = False,
) -> None:
    """Measure the float encoder: TAR over all pairs, and FPIR and FNIR in an open-set test.

    The open-set test takes tau from half of the people and measures on the other half.

    Example: `ostiary-export evaluate bundle --faces lfw --k 100 --k 300`
    """
    loaded = bundles.read(bundle)
    crops = _strangers(loaded, faces)
    file = (bundle / loaded.model(FLOAT).file).read_bytes()
    rows = run.embed(file, crops.images, loaded.model(FLOAT).spec)
    name = data_set_name(faces, data_set)
    curve, tar = evaluation.det_file(loaded.encoder_id, name, rows, crops.person)
    people = evaluation.People(rows, rows, crops.person)
    opened = evaluation.open_set(people, k or [100, 300], fpir, draws, seed)
    if write:
        if INT8 in loaded.manifest.models.items():
            raise BundleError(
                f"{bundle} has an int8 encoder: its DET curves come from the gate",
                "run ostiary-export verify",
            )
        with stages("evaluate") as say, copied(loaded.path) as folder:
            changed = dataclasses.replace(read_measured(loaded), curve=curve)
            release(Bundle(folder, loaded.manifest, None), changed, key, say)
    if json:
        return print_json(_summary(crops, curve.float_float.genuines, tar, opened))
    tables.show_all_pairs(crops, tar)
    tables.show_open_set(f"FPIR {fpir} from the other half", opened)


def _summary(
    crops: Crops, genuines: int, tar: list[TarRow], opened: list[OpenSetRow]
) -> dict[str, object]:
    return {
        "images": len(crops),
        "people": crops.people,
        "without_face": crops.missing,
        "below_quality": crops.refused,
        "genuine_pairs": genuines,
        "tar": tar,
        "open_set": opened,
    }
