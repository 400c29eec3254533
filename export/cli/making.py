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
from ostiary.export.int8.ranges import THRESHOLDS
from ostiary.export.plan import recipe as recipes
from ostiary.export.plan.options import Options
from ostiary.export.records.calibration_table import Method
from ostiary.export.records.results import USUAL, GateLimits

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Key = Annotated[
    Path | None, typer.Option(help="Secret key file to sign with; your own by default.")
]
MaxLoss = Annotated[
    float, typer.Option(min=0, max=1, help="Most TAR that int8 templates and probes may lose.")
]
MaxCrossLoss = Annotated[
    float,
    typer.Option(min=0, max=1, help="Most TAR that float templates with int8 probes may lose."),
]
FAILED = 1


def register(app: typer.Typer) -> None:
    app.command("recipes")(list_recipes)
    app.command()(build)


def list_recipes(json: Json = False) -> None:
    """List the recipes that come with Ostiary, with the licence that each package states.

    Example: `ostiary-export recipes`
    """
    found = [recipes.load(name) for name in recipes.shipped()]
    if json:
        return print_json([plan.recipe for plan in found])
    for plan in found:
        out.print(f"[bold]{plan.name}[/]")
        for package in plan.packages.values():
            out.print(
                escape(f"  {package.registry} {package.name} {package.version}: {package.licence}")
            )


def build(
    recipe: Annotated[str, typer.Argument(help="Name of a shipped recipe, or a .toml file.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write the bundle to.")],
    faces: Annotated[
        Path | None,
        typer.Option(help="Folder of faces to compare int8 with float on; one subfolder a person."),
    ] = None,
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
        typer.Option("--insist", help="Calibrate even if the photos fail the checks."),
    ] = False,
    max_loss: MaxLoss = USUAL.int8_int8,
    max_cross_loss: MaxCrossLoss = USUAL.float_int8,
    data_set: Annotated[
        str, typer.Option(help="Name of the faces, kept with the results; the folder's by default.")
    ] = "",
    weights: Annotated[
        Path | None, typer.Option(help="Folder to take the weights from; nothing is downloaded.")
    ] = None,
    key: Key = None,
    json: Json = False,
) -> None:
    """Make a signed bundle from a recipe or from your own encoder.

    The stages: fetch, convert, calibrate, round to int8, audit, compare int8 with float (the gate),
    report, sign. Without faces a shipped recipe uses its recorded calibration table and the gate's
    verdict recorded for the same int8 file. A build that was interrupted continues where it was.

    Exit code 0: signed, 1: written but not signed (its gate failed or was not run), 2: bad input.

    Examples:

    `ostiary-export build mobilefacenet-192 --out bundle`

    `ostiary-export build mobilefacenet-192 --out bundle --faces lfw`

    `ostiary-export build my-encoder.toml --out bundle --calibrate faces --faces faces`

    An example of `my-encoder.toml`:

    ```toml
    source = "encoder.pt2"        # .onnx, .pt2, TorchScript, or "package.module:factory"
    size_px = [112, 112]
    channels = "rgb"              # rgb, bgr or gray
    mean = 127.5                  # a pixel becomes (value - mean) / scale
    scale = 128.0
    ```
    """
    options = Options(
        weights=weights,
        faces=faces,
        calibrate=calibrate,
        data_set=data_set,
        method=_method(method),
        insist=insist,
        int8=not in_float,
        limits=GateLimits(int8_int8=max_loss, float_int8=max_cross_loss),
        dim=dim,
        key=key,
    )
    plan = recipes.load(recipe, recorded)
    with stages(plan.name) as say:
        made = builder.build(plan, out_dir, options, say)
    problems = release.objections(made)
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
    if problems:
        out.print(f"[bold red]not signed[/]: {escape('; '.join(problems))}")
    else:
        signer = (made.path / SIGNATURE).read_text().split()[1]
        out.print(
            f"[green]signed[/] by {signer[:16]}; see {escape(str(made.path / release.REPORT))}"
        )
