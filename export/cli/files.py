"""`ostiary-export keygen`, `sign`, `attach`, `pack`, `audit`, `inspect`: bundles as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.adapters.photos import decode
from ostiary.edge.cli.console import out, print_json
from ostiary.edge.errors import OstiaryError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import signature
from ostiary.edge.runtime.bundle import FLOAT, Bundle
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.edge.vision.pipeline import open_pipeline
from ostiary.export.audit import check as audits
from ostiary.export.audit import rtx
from ostiary.export.bundle import pack, release, signing
from ostiary.export.cli import tables
from ostiary.export.cli.choices import FAILED, Json, Key, SignWeak
from ostiary.export.cli.making import stages, unsigned
from ostiary.export.faces.crops import read_crops
from ostiary.export.judge import input_readings
from ostiary.export.records.results import Reading

BundleDir = Annotated[Path, typer.Argument(help="Bundle directory that `build` wrote.")]


def register(app: typer.Typer) -> None:
    app.command()(keygen)
    app.command()(sign)
    app.command()(attach)
    app.command("pack")(pack_bundle)
    app.command()(audit)
    app.command()(inspect)


def keygen(
    out_file: Annotated[
        Path, typer.Option("--out", help="File for the secret key; the .pub file goes beside it.")
    ],
    json: Json = False,
) -> None:
    """Make a key pair for signing bundles.

    Devices trust the .pub files in their keys folder.

    Example: `ostiary-export keygen --out factory.key`
    """
    public = signing.keygen(out_file)
    beside = out_file.with_suffix(signature.SUFFIX)
    if json:
        return print_json({"secret": str(out_file), "public": str(beside), "key": public})
    out.print(escape(f"secret key {out_file}: keep it off the devices"))
    out.print(escape(f"public key {beside}: copy it to {signature.SYSTEM_KEYS} on each device"))
    out.print(public)


def sign(
    bundle: BundleDir, key: Key = None, sign_weak: SignWeak = False, json: Json = False
) -> None:
    """Sign a bundle that passed its gate, or that has no int8; any other is refused.

    A bundle whose float encoder recognises too few people is refused too, unless you give
    --sign-weak. The manifest then warns of it, and a door says so at every start.

    Example: `ostiary-export sign bundle --key factory.key`
    """
    with stages("sign") as say:
        signer = release.sign(bundles.read(bundle), key, say, sign_weak)
    if json:
        return print_json({"bundle": str(bundle), "key": signer})
    out.print(escape(f"{bundle} is signed by {signer}"))


def attach(
    bundle: BundleDir,
    file: Annotated[
        Path,
        typer.Argument(
            help="File of `ostiary-train verifier`, or of `fit-upright` or `fit-covered`."
        ),
    ],
    key: Key = None,
    sign_weak: SignWeak = False,
    json: Json = False,
) -> None:
    """Put a logistic head into a bundle and sign the bundle again.

    A door uses the head for 1:1 claims if its profile says `verifier = true`, and the heads that
    know upright and covered faces always.

    Exit code 0: signed, 1: the head is in, but the bundle is not signed (its gate failed or its
    encoder is too weak), 2: bad input.

    Example: `ostiary-export attach bundle verifier.json --key factory.key`
    """
    loaded = bundles.read(bundle)
    with stages("attach") as say:
        release.attach(loaded, file, key, say, sign_weak)
    done = bundles.read(bundle)
    problems = release.objections(done, sign_weak)
    insisted = "" if done.verifier is None else done.verifier.insisted
    told = {"bundle": str(bundle), "signed": not problems, "problems": problems}
    if json:
        print_json({**told, "insisted": insisted})
    else:
        out.print(escape(f"{file} is in {bundle}"))
        if problems:
            out.print(unsigned(done, problems))
        if insisted:
            out.print(escape(f"the head was written despite a failed check: {insisted}"))
    if problems:
        raise typer.Exit(FAILED)


def pack_bundle(
    bundle: BundleDir,
    target: Annotated[Path, typer.Option("--out", help="The .zip file to write.")],
) -> None:
    """Pack a signed bundle into one .zip file; the same bundle gives the same bytes.

    Example: `ostiary-export pack bundle --out door-models.zip`, then on the device
    `ostiary bundle install door-models.zip /var/lib/ostiary/bundle`
    """
    pack.pack(bundle, target)
    out.print(escape(f"{target}  {target.stat().st_size / 1e6:.1f} MB"))


def audit(
    file: Annotated[Path, typer.Argument(help="The .onnx file to check.")],
    build: Annotated[
        str,
        typer.Option("--rtx", help="Also build it with TensorRT for RTX for this GPU, e.g. sm86."),
    ] = "",
    json: Json = False,
) -> None:
    """Check that TensorRT will read a model as intended; list each violation with its cure.

    With `--rtx sm86` TensorRT for RTX also parses and builds the model. That needs no GPU and
    proves that the graph is legal; it says nothing about speed.

    Exit code 0: no violation, 1: some, 2: the file holds no model.

    Example: `ostiary-export audit bundle/encoder.int8.onnx --rtx sm86`
    """
    found = audits.audit_file(file)
    built, refusal = None, ""
    if build:
        try:
            built = rtx.build_for_rtx(file.read_bytes(), build)
        except OstiaryError as error:
            refusal = error.message
    passed = found.passed and not refusal
    if json:
        print_json({"audit": found, "passed": passed, "rtx": built, "rtx_refusal": refusal})
    else:
        out.print(
            f"opset {found.opset}, {found.quantized} layers in int8, {len(found.floating)} in float"
        )
        for item in found.violations:
            out.print(f"[red]{item.rule}[/]  [bold]{escape(item.node)}[/]: {escape(item.problem)}")
            out.print(f"    [dim]{escape(item.cure)}[/]")
        if built is not None:
            out.print(f"TensorRT for RTX {built.version} builds the model for {build}")
        if refusal:
            out.print(f"[red]TensorRT for RTX refuses the model:[/] {escape(refusal)}")
        out.print("[green]passed[/]" if passed else "[bold red]failed[/]")
    if not passed:
        raise typer.Exit(FAILED)


def inspect(
    bundle: BundleDir,
    faces: Annotated[
        Path | None,
        typer.Option(
            help="Folder of faces: also show which reading tells these people apart best."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a bundle holds, who signed it, and whether its encoder reads its input rightly.

    A wrong channel order or value range is a silent error, so the encoder is tried with each. Read
    rightly, a face scores high against its darker, blurred and mirrored copies, and low against
    itself upside down. Only a run with `--faces` is certain: the right reading has the highest d'.

    Example: `ostiary-export inspect bundle --faces lfw`
    """
    loaded = bundles.read(bundle)
    spec = loaded.model(FLOAT).spec
    model = (bundle / loaded.model(FLOAT).file).read_bytes()
    pipeline = open_pipeline(loaded.in_float())
    portrait = decode(loaded.golden()["portrait"].tobytes(), "the bundle's portrait")
    aligned = pipeline.align(portrait, pipeline.find(portrait)[0])
    face = input_readings.of_a_face(model, aligned, spec)
    people = (
        input_readings.of_people(model, read_crops(loaded, faces, "auto", lambda n, of: None), spec)
        if faces
        else []
    )
    if json:
        return print_json(
            {
                "manifest": loaded.manifest,
                "signature": _signature(loaded),
                "gate": release.read_gate(loaded),
                "face": face,
                "people": people,
            }
        )
    _show_bundle(loaded)
    _show_readings(face, people)


def _signature(loaded: Bundle) -> str:
    """Whether a bundle is signed, by whom, and whether this machine trusts the key, in words."""
    path = loaded.path / SIGNATURE
    if not path.is_file():
        return "not signed"
    raw = (loaded.path / bundles.MANIFEST).read_bytes()
    try:
        signer = signature.check(raw, path.read_bytes(), signature.read_keys())
    except OstiaryError as error:
        return error.message
    return f"signed by {signer}, trusted here"


def _show_bundle(loaded: Bundle) -> None:
    manifest = loaded.manifest
    out.print(escape(f"{manifest.recipe}  encoder {manifest.encoder_id}  {manifest.dim} values"))
    out.print(escape(_signature(loaded)))
    gate = release.read_gate(loaded)
    if gate is not None:
        said = tables.headline(gate)
        out.print(f"gate {said} on {gate.images} images, {escape(gate.data_set)}")
    models = manifest.models.items()
    wide = [
        max(len(text) for text in texts) for texts in (models, [m.file for m in models.values()])
    ]
    for name, model in models.items():
        size = (loaded.path / model.file).stat().st_size
        out.print(
            escape(
                f"  {name:<{wide[0]}} {model.file:<{wide[1]}} {size / 1e6:5.2f} MB"
                f"  {model.size_px[1]}x{model.size_px[0]}  {input_readings.told(model.spec)}"
            )
        )
    for source in manifest.sources:
        out.print(escape(f"  {source.package} {source.version}: {source.licence}"))
    for note in manifest.notes:
        out.print(escape(f"  note: {note}"))
    for warning in manifest.warnings:
        out.print(f"  [yellow]warning:[/] {escape(warning)}")


def _show_readings(face: list[tuple[str, float, float]], people: list[Reading]) -> None:
    table = Table(title="the encoder's input read in several ways, the declared one first")
    table.add_column("reading")
    for title in ("score of a face with its copies", "with itself upside down", "d' of people"):
        table.add_column(title, justify="right")
    for at, (reading, copies, upside_down) in enumerate(face):
        last = f"{people[at].d_prime:.2f}" if people else "-"
        table.add_row(escape(reading), f"{copies:.3f}", f"{upside_down:.3f}", last)
    out.print(table)
    if people and input_readings.better(people):
        out.print(f"[bold red]{escape(input_readings.better(people))}[/]")
