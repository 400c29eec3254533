"""`ostiary-export check-labels`: find photos under a wrong name in a folder of faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, out, print_json, progress
from ostiary.edge.files import as_text, write_atomically
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import FLOAT
from ostiary.export.cli.choices import Json
from ostiary.export.faces import excluded, labels
from ostiary.export.faces.crops import Crops, data_set_name, read_crops
from ostiary.export.faces.excluded import ExcludedPhoto, ExclusionList
from ostiary.export.faces.labels import Finding, Kind
from ostiary.export.graphs import run
from ostiary.export.report import label_sheet
from ostiary.export.report.label_sheet import SheetRow

WORDS: dict[Kind, str] = {
    "same-person": "the photos of the two names match: one person under two names",
    "alike": "two photos of two names match, other photos of the names less",
    "misplaced": "matches the other name's photo, and its own name's photos little",
    "stranger": "matches the other photos of its name little",
}

TWO = "photo, and the one it is compared with"


class LabelledPhoto(msgspec.Struct, frozen=True):
    """A photo of a finding: its id as in exclusion lists, its path in the folder, its name."""

    id: str
    path: str
    name: str


class NamedFinding(msgspec.Struct, frozen=True):
    """A finding with photos in place of rows; the fields are explained at `labels.Finding`."""

    kind: Kind
    sure: bool
    expected: float
    score: float
    own: float | None
    photo: LabelledPhoto
    other: LabelledPhoto
    wrong: list[LabelledPhoto]


def register(app: typer.Typer) -> None:
    app.command("check-labels")(check_labels)


def check_labels(
    faces: Annotated[Path, typer.Argument(help="Folder with one subfolder of photos per person.")],
    bundle: Annotated[Path, typer.Option(help="Bundle whose float encoder compares the photos.")],
    sheet: Annotated[
        Path | None,
        typer.Option(help="Picture to draw the findings on, face beside face; more pages get -2."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option(help="Exclusion list to write, of the sure findings.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, help="Findings to show; the sure ones are always shown.")
    ] = 20,
    sure: Annotated[
        float,
        typer.Option(
            min=0,
            help="A finding is sure if faces without errors would give at most this many like it.",
        ),
    ] = labels.SURE,
    data_set: Annotated[
        str, typer.Option(help="Name of the faces in the list; the folder's by default.")
    ] = "",
    json: Json = False,
) -> None:
    """Find wrong labels among faces: one person under two names, a photo under a wrong name.

    The surest findings come first. "Expected" is the number of findings this strong that a folder
    without errors would give. Look at every finding before you leave its photos out: twins and bad
    photos are found as well. `evaluate`, `verify` and `build` take the list with `--exclude`.

    Example: `ostiary-export check-labels lfw --bundle bundle --sheet errors.jpg`

    Example: `ostiary-export check-labels lfw --bundle bundle --write exclude.json`
    """
    if sheet is not None:
        label_sheet.check_name(sheet)
    loaded = bundles.read(bundle)
    bar, done = progress("finding faces")
    with bar:
        crops = read_crops(loaded, faces, "auto", done)
    with err.status("comparing every two photos"):
        model = (loaded.path / loaded.model(FLOAT).file).read_bytes()
        rows = run.embed(model, crops.images, loaded.model(FLOAT).spec)
        found = labels.find(rows, crops.person, top, sure)
    told = [_named(item, crops, faces, sure) for item in found]
    pages = label_sheet.write(sheet, _sheet(found, told, crops)) if sheet is not None else []
    listed = _exclusions(told, data_set_name(faces, data_set))
    if write is not None:
        write_atomically(write, excluded.to_text(listed))
    if json:
        return print_json(
            {
                "images": len(crops),
                "people": crops.people,
                "without_face": crops.missing,
                "sure": sum(item.sure for item in told),
                "findings": told,
                "sheets": [str(page) for page in pages],
            }
        )
    _show(told, crops)
    for page in pages:
        out.print(escape(f"sheet {page}"))
    if write is not None:
        out.print(escape(f"{write} lists {len(listed.photos)} photos: delete what is no error"))


def _named(item: Finding, crops: Crops, faces: Path, sure: float) -> NamedFinding:
    def photo(row: int) -> LabelledPhoto:
        path = as_text(str(crops.paths[row].relative_to(faces)))
        return LabelledPhoto(crops.photos[row], path, as_text(crops.names[crops.person[row]]))

    return NamedFinding(
        item.kind,
        item.expected <= sure,
        item.expected,
        item.score,
        item.own,
        photo(item.photo),
        photo(item.other),
        [photo(row) for row in item.wrong],
    )


def _exclusions(told: list[NamedFinding], data_set: str) -> ExclusionList:
    """The wrong photos of the sure findings, each once."""
    found: dict[str, ExcludedPhoto] = {}
    for item in told:
        for photo in item.wrong if item.sure else ():
            excluded_photo = ExcludedPhoto(photo.id, photo.path, _reason(item, photo))
            found.setdefault(photo.id, excluded_photo)
    return ExclusionList(data_set, list(found.values()))


def _reason(item: NamedFinding, photo: LabelledPhoto) -> str:
    if item.kind == "stranger":
        return f"stranger: score {item.score:.3f} with the other photos of {photo.name}"
    other = item.photo if photo.name == item.other.name else item.other
    if item.kind == "same-person":
        return f"same-person: {photo.name} is {other.name}, score {item.score:.3f}"
    return f"{item.kind}: score {item.score:.3f} with {other.path}" + _own(item.own)


def _sheet(found: list[Finding], told: list[NamedFinding], crops: Crops) -> list[SheetRow]:
    return [
        SheetRow(
            (crops.images[item.photo], crops.images[item.other]),
            [
                f"{number}. {named.kind}" + ("" if named.sure else ", doubtful"),
                named.photo.path,
                named.other.path,
                f"score {item.score:.3f}"
                + (" with its name's photos" if item.kind == "stranger" else _own(item.own)),
                f"expected without errors: {item.expected:.2g}",
            ],
            named.sure,
        )
        for number, (item, named) in enumerate(zip(found, told, strict=True), 1)
    ]


def _own(own: float | None) -> str:
    return "; no other photo of its name" if own is None else f"; {own:.3f} with its own name"


def _show(told: list[NamedFinding], crops: Crops) -> None:
    sure = sum(item.sure for item in told)
    out.print(
        f"{len(crops)} images of {crops.people} people: {sure} sure findings,"
        f" {len(told) - sure} doubtful ones shown"
    )
    table = Table()
    for title in ("", "finding", TWO, "score", "own name", "expected"):
        table.add_column(title, justify="left" if title in ("finding", TWO) else "right")
    for number, item in enumerate(told, 1):
        table.add_row(
            str(number),
            item.kind if item.sure else f"[dim]{item.kind}[/]",
            escape(f"{item.photo.path}\n{item.other.path}"),
            f"{item.score:.3f}",
            "-" if item.own is None else f"{item.own:.3f}",
            f"{item.expected:.2g}",
        )
    out.print(table)
    for kind in dict.fromkeys(item.kind for item in told):
        out.print(f"{kind}: {WORDS[kind]}")
