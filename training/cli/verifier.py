"""`ostiary-train verifier`: a logistic head for a bundle's 1:1 claims, from a folder of faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from edge.cli.console import err, out, print_json, progress
from edge.errors import ConfigError
from edge.files import write_atomically
from edge.runtime import bundle as bundles
from edge.runtime import verifier_file
from edge.runtime.bundle import FLOAT, INT8, Bundle
from edge.runtime.verifier_file import Judged, VerifierFile
from export import page, running
from export.crops import read_crops
from training import reliability, verifier
from training.verifier import Embedded, Settings

FAILED = 1


def register(app: typer.Typer) -> None:
    app.command("verifier")(make)


def make(
    bundle: Annotated[Path, typer.Option(help="The bundle whose encoder it is for.")],
    faces: Annotated[Path, typer.Option(help="A folder with one folder of photos a person.")],
    out_file: Annotated[Path, typer.Option("--out", help="Where it is written, as .json.")],
    data_set: Annotated[str, typer.Option(help="The faces' name, kept with the figures.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of who is fitted on and who judged.")] = 0,
    insist: Annotated[
        bool, typer.Option("--insist", help="Write it even where it should not be used.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fit the logistic head on some people, calibrate it on others, and judge it on others again.

    A page with the reliability diagram goes beside it. Exit code 1: it ranks strangers worse than
    the plain distance does, or its probabilities are not true, and nothing was written.

    Example: `ostiary-train verifier --bundle bundle --faces lfw --out verifier.json`, then
    `ostiary-export attach bundle verifier.json`
    """
    if out_file.suffix == ".html":
        raise ConfigError(f"{out_file} is where the page goes", "--out verifier.json")
    loaded = bundles.read(bundle)
    int8 = loaded.manifest.models.encoder_int8
    made = verifier.train(
        _embedded(loaded, faces),
        loaded.encoder_id,
        data_set or faces.name,
        loaded.manifest.files[int8.file] if int8 else None,
        Settings(seed=seed),
        lambda stage: err.print(f"[dim]{escape(stage)}[/]"),
    )
    problems = verifier.objections(made)
    made = msgspec.structs.replace(made, insisted="; ".join(problems))
    written = insist or not problems
    if written:
        _write(made, out_file)
    if json:
        print_json({"written": written, "problems": problems, "verifier": made})
    else:
        _show(made, problems, out_file if written else None)
    if not written:
        raise typer.Exit(FAILED)


def _embedded(loaded: Bundle, faces: Path) -> Embedded:
    """Every face by the bundle's encoders."""
    bar, done = progress("finding faces")
    with bar:
        crops = read_crops(loaded, faces, "auto", done)
    by = {
        name: running.embed((loaded.path / model.file).read_bytes(), crops.images, model.spec)
        for name, model in loaded.manifest.models.items().items()
        if name in (FLOAT, INT8)
    }
    return Embedded(by[FLOAT], crops.person, by.get(INT8))


def comparisons(made: VerifierFile) -> list[tuple[str, Judged]]:
    """What was judged, in words."""
    both = [("float probes", made.float_float), ("int8 probes", made.float_int8)]
    return [(name, judged) for name, judged in both if judged is not None]


def _write(made: VerifierFile, path: Path) -> None:
    shown = [
        (name, judged, reliability.diagram(judged.reliability, f"Reliability, {name}"))
        for name, judged in comparisons(made)
    ]
    text = page.template("training", "verifier.html.j2").render(file=made, shown=shown)
    try:
        write_atomically(path, verifier_file.to_text(made))
        write_atomically(path.with_suffix(".html"), text.encode())
    except OSError as error:
        raise ConfigError(f"can not write {path}: {error.strerror}", "free some space") from error


def _show(made: VerifierFile, problems: list[str], path: Path | None) -> None:
    for name, judged in comparisons(made):
        low, high = judged.gain.low, judged.gain.high
        area, plain = judged.auc.value, judged.distance_auc.value
        verdict = "better" if low > 0 else "worse" if high < 0 else "neither better nor worse"
        out.print(
            f"{name}: AUC {area:.5f}, the plain distance {plain:.5f}:"
            f" {verdict} (gain {low:+.5f} to {high:+.5f});"
            f" calibration error {judged.calibration_error:.4f}"
        )
    people = (made.fitted_people, made.calibrated_people, made.people)
    out.print("fitted on {} people, calibrated on {}, judged on {}".format(*people))
    for problem in problems:
        out.print(f"[bold red]{escape(problem)}[/]")
    if path is not None:
        out.print(escape(f"wrote {path} and {path.with_suffix('.html')}"))
    else:
        out.print("nothing was written; --insist writes it all the same")
