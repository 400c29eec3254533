"""`ostiary-export recipes` and `build`: list the recipes, and make a bundle from one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.errors import ConfigError
from ostiary.edge.runtime.bundle import INT8, Bundle
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.export.bundle import build as builder
from ostiary.export.bundle import release
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
from ostiary.export.int8.ranges import THRESHOLDS
from ostiary.export.plan import recipe as recipes
from ostiary.export.plan.options import Options
from ostiary.export.records.calibration_table import Method


def register(app: typer.Typer) -> None:
    app.command("recipes")(list_recipes)
    app.command()(build)


def list_recipes(json: Json = False) -> None:
    """List the recipes that come with Ostiary, with the licence that each package states.

    Under each package are the models that it gives. `(default)` marks the recipe that `build` uses
    if none is named.

    Example: `ostiary-export recipes`
    """
    found = [recipes.load(name).recipe for name in recipes.shipped()]
    if json:
        marked = [
            {"default": item.name == recipes.DEFAULT, **msgspec.to_builtins(item)} for item in found
        ]
        return print_json(marked)
    for item in found:
        out.print(f"[bold]{item.name}[/]{' (default)' if item.name == recipes.DEFAULT else ''}")
        for key, package in item.packages.items():
            out.print(
                escape(f"  {package.registry} {package.name} {package.version}: {package.licence}")
            )
            for model, of in item.models.items():
                if of.weights.package == key:
                    out.print(escape(f"    {model}: {of.weights.name}"))


def build(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write the bundle to.")],
    recipe: Annotated[
        str, typer.Argument(help="Name of a shipped recipe, or a .toml file.")
    ] = recipes.DEFAULT,
    faces: Annotated[
        Path | None,
        typer.Option(help="Folder of faces to compare int8 with float on; one subfolder a person."),
    ] = None,
    exclude: Exclude = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Folder of faces to calibrate int8 on; the recorded table by default."),
    ] = None,
    recorded: Annotated[
        Path | None,
        typer.Option(help="Folder that `ostiary-train int8` wrote; its trained int8 is used."),
    ] = None,
    method: Annotated[
        str, typer.Option(help=f"Calibration method: {', '.join(THRESHOLDS)}.")
    ] = "mse",
    dim: Annotated[
        int | None,
        typer.Option(
            help="Shorten templates to this many values, by a projection fitted on faces."
        ),
    ] = None,
    in_float: Annotated[bool, typer.Option("--float", help="Build without int8.")] = False,
    insist: Annotated[
        bool,
        typer.Option(
            "--insist",
            help="Calibrate even if the photos fail the checks; the manifest then warns of it.",
        ),
    ] = False,
    max_loss: MaxLoss = None,
    max_cross_loss: MaxCrossLoss = None,
    least_tar: LeastTar = None,
    most_fnir: MostFnir = None,
    groups: GroupsOption = None,
    group_labels: GroupLabels = "",
    estimated: Estimated = False,
    data_set: Annotated[
        str, typer.Option(help="Name of the faces, kept with the results; the folder's by default.")
    ] = "",
    weights: Annotated[
        Path | None, typer.Option(help="Folder to take the weights from; nothing is downloaded.")
    ] = None,
    key: Key = None,
    sign_weak: SignWeak = False,
    json: Json = False,
) -> None:
    """Make a signed bundle from a recipe or from your own encoder.

    The stages: fetch, convert, calibrate, round to int8, audit, compare int8 with float (the gate),
    report, sign. Without faces a shipped recipe uses its recorded calibration table and the gate's
    verdict recorded for the same int8 file. A build that was interrupted continues where it was.

    Exit code 0: signed, 1: written but not signed (its gate failed or was not run, or its encoder
    recognises too few people), 2: bad input.

    Examples:

    `ostiary-export build --out bundle`

    `ostiary-export build mobilefacenet-192 --out bundle --faces lfw`

    `ostiary-export build my-encoder.toml --out bundle --calibrate faces --faces faces`

    An example of `my-encoder.toml`:

    ```toml
    source = "encoder.pt2"        # .onnx, .pt2, TorchScript, or "package.module:factory"
    size_px = [112, 112]
    channels = "rgb"              # rgb, bgr or gray
    mean = 127.5                  # a pixel becomes (value - mean) / scale
    scale = 128.0

    [limits]                      # of the gate; what is left out is as usual
    least_tar = 0.9
    most_fnir = 0.15
    ```
    """
    plan = recipes.load(recipe, recorded)
    options = Options(
        weights=weights,
        faces=faces,
        calibrate=calibrate,
        exclude=exclude,
        data_set=data_set,
        method=_method(method),
        insist=insist,
        int8=not in_float,
        limits=limits_over(plan.limits, max_loss, max_cross_loss, least_tar, most_fnir),
        dim=dim,
        key=key,
        groups=group_file_of(groups, group_labels, estimated),
        sign_weak=sign_weak,
    )
    with stages(plan.name) as say:
        made = builder.build(plan, out_dir, options, say)
    problems = release.objections(made, sign_weak)
    if json:
        print_json({"manifest": made.manifest, "signed": not problems, "problems": problems})
    else:
        _show(made, problems)
    if problems:
        raise typer.Exit(FAILED)


def _method(name: str) -> Method:
    try:
        found: Method = msgspec.convert(name, Method)
    except msgspec.ValidationError:
        raise ConfigError(
            f"there is no calibration method {name!r}", f"use one of {', '.join(THRESHOLDS)}"
        ) from None
    return found


@contextmanager
def stages(name: str) -> Iterator[builder.Say]:
    """Give a function that prints a stage, and the seconds since the start, on standard error."""
    started = time.monotonic()
    with err.status(name) as status:

        def say(stage: str) -> None:
            # Stages that count layers print only their first one, so as not to fill a log.
            if ", layer " not in stage or ", layer 1 " in stage:
                err.print(f"[dim]{time.monotonic() - started:6.1f} s[/]  {escape(stage)}")
            status.update(f"{name}: {escape(stage)}")

        yield say


def _show(made: Bundle, problems: list[str]) -> None:
    out.print(escape(f"wrote {made.path}  encoder {made.encoder_id[:16]}  {made.dim} values"))
    for source in made.manifest.sources:
        out.print(escape(f"  {source.package} {source.version}: {source.licence}"))
    for note in made.manifest.notes:
        out.print(escape(f"  {note}"))
    if INT8 in made.manifest.models.items():
        size = (made.path / made.model(INT8).file).stat().st_size
        whole = (made.path / made.model("encoder").file).stat().st_size
        out.print(f"int8 encoder {size / 1e6:.2f} MB, {size / whole:.2f} of the float one's size")
    if made.measured is None:
        out.print("[yellow]no DET curve yet[/]: ostiary-export verify BUNDLE --faces DIR")
    for warning in made.manifest.warnings:
        out.print(f"[yellow]warning:[/] {escape(warning)}")
    if problems:
        out.print(unsigned(made, problems))
    else:
        signer = (made.path / SIGNATURE).read_text().split()[1]
        out.print(
            f"[green]signed[/] by {signer[:16]}; see {escape(str(made.path / release.REPORT))}"
        )


def unsigned(made: Bundle, problems: list[str]) -> str:
    """A line that says why a bundle is not signed: in amber if its encoder is only too weak."""
    weak = not release.objections(made, sign_weak=True)
    colour, cure = (
        ("yellow", " [dim](--sign-weak signs it all the same)[/]") if weak else ("red", "")
    )
    return f"[bold {colour}]not signed[/]: {escape('; '.join(problems))}{cure}"
