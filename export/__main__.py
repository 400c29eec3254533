"""The `ostiary-export` command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from edge.cli.console import err, new_app, out, print_json, progress, run
from edge.core.metrics import Rate
from edge.runtime import bundle as bundles
from export import build as builder
from export import recipe as recipes
from export.evaluate import OpenSetRow, TarRow, det_file, open_set
from export.people import People, read_people

app = new_app("Turn trained face encoders into bundles that a door device runs.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
BundleDir = Annotated[Path, typer.Option(help="A bundle that `build` wrote.")]


@app.command("recipes")
def list_recipes(json: Json = False) -> None:
    """List the recipes that come with Ostiary, with the licences as found.

    Example: `ostiary-export recipes`
    """
    found = [recipes.load(name)[0] for name in recipes.shipped()]
    if json:
        return print_json(found)
    for item in found:
        out.print(f"[bold]{item.name}[/]  {item.dim} values an embedding")
        for package in item.packages.values():
            out.print(
                escape(f"  {package.registry} {package.name} {package.version}: {package.licence}")
            )


@app.command()
def build(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe or the path of a .toml file.")],
    out_dir: Annotated[Path, typer.Option("--out", help="Where the bundle is written.")],
    weights: Annotated[
        Path | None, typer.Option(help="Take weights from this folder; nothing is fetched.")
    ] = None,
    json: Json = False,
) -> None:
    """Obtain a recipe's weights, check and convert them, and write a proven bundle.

    Examples:

    `ostiary-export build mobilefacenet-192 --out bundle`

    `ostiary-export build faceplugin-512 --out bundle --weights ./downloads`
    """
    chosen, curve = recipes.load(recipe)
    started = time.monotonic()
    with err.status(f"building {chosen.name}") as status:

        def say(stage: str) -> None:
            err.print(f"[dim]{time.monotonic() - started:6.1f} s[/]  {escape(stage)}")
            status.update(f"{chosen.name}: {escape(stage)}")

        made = builder.build(chosen, curve, out_dir, weights, say)
    if json:
        return print_json(made.manifest)
    out.print(f"wrote {out_dir}  encoder {made.encoder_id[:16]}  {made.dim} values")
    for source in made.manifest.sources:
        out.print(escape(f"  {source.package} {source.version}: {source.licence}"))
    if made.measured is None:
        out.print("[yellow]no DET curve yet[/]: ostiary-export evaluate --write measures it")


@app.command()
def evaluate(
    bundle: BundleDir,
    faces: Annotated[Path, typer.Option(help="A folder with one folder of photos a person.")],
    data_set: Annotated[str, typer.Option(help="The data set's name, kept with the curve.")] = "",
    fpir: Annotated[float, typer.Option(min=1e-6, max=0.5, help="For the open-set test.")] = 0.01,
    k: Annotated[list[int] | None, typer.Option(help="Enrolled people; may be repeated.")] = None,
    draws: Annotated[int, typer.Option(min=1, help="Random enrollments for each k.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the random draws.")] = 0,
    backend: Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")] = "auto",
    write: Annotated[bool, typer.Option("--write", help="Put the curve into the bundle.")] = False,
    json: Json = False,
) -> None:
    """Measure TAR over all pairs, and FPIR and FNIR in open-set draws.

    The open-set half sets tau on people it then does not test on.

    Example: `ostiary-export evaluate --bundle bundle --faces lfw --data-set LFW --write`
    """
    loaded = bundles.load(bundle)
    bar, done = progress("embedding")
    with bar:
        people = read_people(loaded, faces, backend, done)
    curve, rows = det_file(loaded.encoder_id, data_set or faces.name, people)
    opened = open_set(people, k or [100, 300], fpir, draws, seed)
    if write:
        builder.add_curve(loaded, curve)
    if json:
        return print_json(_summary(people, curve, rows, opened))
    _show(people, curve, rows, opened, fpir)


def _summary(
    people: People, curve: bundles.DetFile, rows: list[TarRow], opened: list[OpenSetRow]
) -> dict[str, object]:
    return {
        "images": people.images,
        "people": curve.people,
        "without_face": people.missing,
        "below_quality": people.refused,
        "genuine_pairs": curve.genuines,
        "impostor_pairs": curve.impostors,
        "tar": rows,
        "open_set": opened,
        "encoder": curve.encoder_id,
    }


def _show(
    people: People,
    curve: bundles.DetFile,
    rows: list[TarRow],
    opened: list[OpenSetRow],
    fpir: float,
) -> None:
    out.print(f"{people.images} images of {curve.people} people on {escape(curve.data_set)}")
    out.print(f"left out: {escape(_counts(people.missing)) or 'none'}")
    out.print(f"would be refused for quality: {escape(_counts(people.refused))}")
    table = Table(title=f"{curve.genuines:,} genuine and {curve.impostors:,} impostor pairs")
    for title in ("FMR", "tau", "TAR", "95 %"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(f"{row.fmr:.0e}", f"{row.tau:.4f}", f"{row.tar.value:.4f}", _range(row.tar))
    out.print(table)
    if not opened:
        return out.print("too few people for the open-set test")
    table = Table(title=f"open set, one photo each, tau for FPIR {fpir} from the other half")
    titles = ("K", "tau", "FPIR", "95 %", "FNIR", "95 %", "FPIR at 1:1 tau")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for item in opened:
        table.add_row(
            str(item.k),
            f"{item.tau:.3f}",
            f"{item.fpir.value:.4f}",
            _range(item.fpir),
            f"{item.fnir.value:.4f}",
            _range(item.fnir),
            f"{item.fixed_fpir:.4f}",
        )
    out.print(table)


def _range(rate: Rate) -> str:
    return f"{rate.low:.4f} to {rate.high:.4f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda i: -i[1]))


def main() -> None:
    """The entry point of the installed script."""
    run(app)


if __name__ == "__main__":
    main()
