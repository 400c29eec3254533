"""`ostiary-train verifier`: fit a logistic head for 1:1 claims on a folder of faces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from ostiary.edge.cli.console import out, print_json
from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.edge.runtime.heads import verifier_file
from ostiary.edge.runtime.heads.verifier_file import Judged, VerifierFile
from ostiary.export.faces import learned
from ostiary.export.faces.crops import data_set_name
from ostiary.export.graphs import run
from ostiary.export.records import calibration_table as tables
from ostiary.export.report import page
from ostiary.training.cli.faces import found_in, say
from ostiary.training.judge import objections, reliability
from ostiary.training.tasks import verifier
from ostiary.training.tasks.verifier import Embedded, VerifierSettings

FAILED = 1


def register(app: typer.Typer) -> None:
    app.command("verifier")(make)


def make(
    bundle: Annotated[Path, typer.Option(help="Bundle whose encoder the head is for.")],
    faces: Annotated[Path, typer.Option(help="Folder with one folder of photos per person.")],
    out_file: Annotated[Path, typer.Option("--out", help="File to write, ending in .json.")],
    data_set: Annotated[str, typer.Option(help="Name of the photos, kept with the results.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the split of people.")] = 0,
    insist: Annotated[
        bool, typer.Option("--insist", help="Write the head even if it should not be used.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Fit a logistic head for 1:1 claims, calibrate and evaluate it, on three sets of people.

    A page with the reliability diagram is written beside the head. People whom the encoder learned
    from and photos that calibrated its int8 are left out. Exit code 1: nothing was written, since
    the head ranks pairs worse than the plain distance, refuses many more genuine claims than tau
    does, or its probabilities are wrong.

    Example: `ostiary-train verifier --bundle bundle --faces lfw --out verifier.json`, then
    `ostiary-export attach bundle verifier.json`
    """
    _check_place(out_file)
    loaded = bundles.read(bundle)
    int8 = loaded.manifest.models.encoder_int8
    made = verifier.train(
        _embedded(loaded, faces),
        loaded.encoder_id,
        data_set_name(faces, data_set),
        loaded.manifest.files[int8.file] if int8 else None,
        VerifierSettings(seed=seed),
        say,
    )
    problems = objections.objections(made)
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


def _check_place(path: Path) -> None:
    """Raise ConfigError if the head could not be written, before minutes are spent on it."""
    if path.suffix == ".html":
        raise ConfigError(f"{path} is the name of the page beside the head", "--out verifier.json")
    # Check `is_dir` first: `with_suffix` raises for the names of some folders, such as `.`.
    if path.is_dir() or path.with_suffix(".html").is_dir():
        raise ConfigError(f"{path}, or the page beside it, is a folder", "--out verifier.json")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ConfigError(f"cannot write to {path.parent}", "give a folder that exists")


def _embedded(loaded: Bundle, faces: Path) -> Embedded:
    """Embed the faces by the bundle's encoders. People whom the encoder learned from, photos that
    calibrated its int8, and names that share a photo and may be one person are left out.

    Raises PhotoError if no face is left.
    """
    # Keep people with one photo too: they make impostor pairs.
    found = found_in(faces, loaded, 1, learned.in_bundle(loaded))
    crops = found.judges()
    if tables.FILE in loaded.manifest.files:
        crops = crops.without(tables.read(loaded.path / tables.FILE).photos)
    if not len(crops):
        raise PhotoError(
            f"none of the {len(found)} photos of {faces} with a face can be used: they calibrated"
            " this bundle's int8, or show people whom its encoder learned from or who share a photo"
            " with another name",
            "give photos of other people",
        )
    by = {
        name: run.embed((loaded.path / model.file).read_bytes(), crops.images, model.spec)
        for name, model in loaded.manifest.models.items().items()
        if name in (FLOAT, INT8)
    }
    return Embedded(by[FLOAT], crops.person, by.get(INT8))


def comparisons(made: VerifierFile) -> list[tuple[str, Judged, float]]:
    """For each measured comparison: (its name for people, its figures, the head's FNMR at FMR
    1e-3)."""
    both = [(name, which, getattr(made, which)) for name, which in objections.PROBES.items()]
    return [(name, judged, made.fnmr(which)) for name, which, judged in both if judged is not None]


def _write(made: VerifierFile, path: Path) -> None:
    shown = [
        (name, judged, fnmr, reliability.diagram(judged.reliability, f"Reliability, {name}"))
        for name, judged, fnmr in comparisons(made)
    ]
    text = page.template("ostiary.training", "verifier.html.j2").render(file=made, shown=shown)
    try:
        # Write the head last, so that no head exists without its page.
        write_atomically(path.with_suffix(".html"), text.encode())
        write_atomically(path, verifier_file.to_text(made))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}", "free some space") from error


def _show(made: VerifierFile, problems: list[str], path: Path | None) -> None:
    for name, judged, fnmr in comparisons(made):
        low, high = judged.gain.low, judged.gain.high
        area, plain = judged.auc.value, judged.distance_auc.value
        verdict = "better" if low > 0 else "worse" if high < 0 else "neither better nor worse"
        out.print(
            f"{name}: AUC {area:.5f}, the plain distance {plain:.5f}:"
            f" {verdict} (gain {low:+.5f} to {high:+.5f});"
            f" calibration error {judged.calibration_error:.4f};"
            f" FNMR at FMR 1e-3 {fnmr:.4f}, tau's {judged.distance_fnmr:.4f}"
        )
    people = (made.fitted_people, made.calibrated_people, made.people)
    numbers = "fitted on {} people, calibrated on {}, evaluated on {}".format(*people)
    out.print(f"{numbers}, with several photos each")
    for problem in problems:
        out.print(f"[bold red]{escape(problem)}[/]")
    if path is not None:
        out.print(escape(f"wrote {path} and {path.with_suffix('.html')}"))
    else:
        out.print("nothing was written; --insist writes the head anyway")
