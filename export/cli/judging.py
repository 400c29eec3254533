"""`ostiary-export verify` and `sensitivity`: what int8 costs a bundle, measured on faces."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import msgspec
import onnx
import typer
from rich.markup import escape

from ostiary.edge.cli.console import err, out, print_json, progress
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.export.bundle.release import objections, read_measured, release
from ostiary.export.bundle.staging import copied
from ostiary.export.cli import tables
from ostiary.export.cli.choices import (
    FAILED,
    Estimated,
    Exclude,
    GroupLabels,
    GroupsOption,
    Json,
    Key,
    LeastTar,
    MaxCrossLoss,
    MaxLoss,
    MostFnir,
    SignWeak,
    group_file_of,
    limits_over,
)
from ostiary.export.cli.making import stages, unsigned
from ostiary.export.faces import excluded, learned
from ostiary.export.faces.crops import Crops, data_set_name, read_crops
from ostiary.export.int8 import sensitivity
from ostiary.export.judge import gate as gates

BundleDir = Annotated[Path, typer.Argument(help="Bundle directory that `build` wrote.")]
Faces = Annotated[Path, typer.Option(help="Folder with one subfolder of photos per person.")]
DataSet = Annotated[
    str, typer.Option(help="Name of the faces, kept with the results; the folder's by default.")
]


def register(app: typer.Typer) -> None:
    app.command()(verify)
    app.command("sensitivity")(per_layer)


def verify(
    bundle: BundleDir,
    faces: Faces,
    data_set: DataSet = "",
    exclude: Exclude = None,
    max_loss: MaxLoss = None,
    max_cross_loss: MaxCrossLoss = None,
    least_tar: LeastTar = None,
    most_fnir: MostFnir = None,
    fmr: Annotated[
        list[float] | None, typer.Option(help="FMR at which the limits apply; may be repeated.")
    ] = None,
    groups: GroupsOption = None,
    group_labels: GroupLabels = "",
    estimated: Estimated = False,
    write: Annotated[
        bool,
        typer.Option(help="Store the verdict in the bundle; sign it, or remove its signature."),
    ] = True,
    key: Key = None,
    sign_weak: SignWeak = False,
    json: Json = False,
) -> None:
    """Compare a bundle's int8 encoder with its float encoder on faces (the gate).

    The gate also has a floor: a float encoder that recognises too few people does not pass, however
    faithful int8 is to it.

    Left out: photos that int8 was calibrated on, people whom the encoder learned from, and photos
    with wrong labels. The 95 % intervals are over people, not over photos.

    Exit code 0: passed, 1: failed, or faithful to a weak encoder (the bundle is then no longer
    signed; --sign-weak signs a weak one), 2: bad input.

    Example: `ostiary-export verify bundle --faces lfw --data-set LFW`
    """
    loaded = bundles.read(bundle)
    measured = read_measured(loaded)
    if INT8 not in loaded.manifest.models.items():
        raise BundleError(f"{bundle} has no int8 encoder: there is nothing to compare")
    group_file = group_file_of(groups, group_labels, estimated)
    given = (max_loss, max_cross_loss, least_tar, most_fnir)
    limits = limits_over(measured.limits, *given, tuple(fmr) if fmr else None)
    encoders = gates.Encoders(
        (bundle / loaded.model(FLOAT).file).read_bytes(),
        (bundle / loaded.model(INT8).file).read_bytes(),
        loaded.model(FLOAT).spec,
        measured.table,
        learned.in_bundle(loaded),
    )
    crops = _crops(loaded, faces, exclude)
    with stages("verify") as say:
        name = data_set_name(faces, data_set)
        gate, det = gates.measure(encoders, crops, name, limits, say, group_file)
        if write:
            manifest = msgspec.structs.replace(loaded.manifest, proven_on=gate.proven_on)
            changed = dataclasses.replace(measured, gate=gate, curve=det)
            with copied(loaded.path) as folder:
                release(Bundle(folder, manifest, None), changed, key, say, sign_weak)
    if json:
        print_json(gate)
    else:
        tables.show_gate(gate)
    if not gate.passed:
        raise typer.Exit(FAILED)


def _crops(loaded: Bundle, faces: Path, exclude: Path | None) -> Crops:
    bar, done = progress("finding faces")
    with bar:
        found = read_crops(loaded, faces, "auto", done)
    return found if exclude is None else excluded.leave_out(found, exclude)


def strangers(loaded: Bundle, faces: Path, exclude: Path | None = None) -> Crops:
    """The crops of people whom the encoder did not learn from."""
    found = _crops(loaded, faces, exclude)
    return learned.strangers(found, learned.in_bundle(loaded), lambda line: err.print(escape(line)))


def per_layer(
    bundle: BundleDir,
    faces: Faces,
    write: Annotated[bool, typer.Option(help="Store the costs in the bundle and report.")] = True,
    key: Key = None,
    sign_weak: SignWeak = False,
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
    crops = strangers(loaded, faces)
    bar, done = progress("layers")
    with bar:
        layers = sensitivity.measure(model, measured.table, crops, loaded.model(FLOAT).spec, done)
    if write:
        with stages("sensitivity") as say, copied(loaded.path) as folder:
            changed = dataclasses.replace(measured, layers=layers)
            release(Bundle(folder, loaded.manifest, None), changed, key, say, sign_weak)
    if json:
        return print_json(layers)
    tables.show_layers(layers)


def end(done: Bundle, sign_weak: bool, json: bool) -> None:
    """End with FAILED, and say why, if the bundle is not signed."""
    problems = objections(done, sign_weak)
    if not problems:
        return
    if not json:
        out.print(unsigned(done, problems))
    raise typer.Exit(FAILED)
