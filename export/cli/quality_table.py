"""Prints what light, lens and camera do to the score of a face: `evaluate --quality`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.runtime.bundle import Bundle
from ostiary.export.faces import excluded
from ostiary.export.light import looks, rows
from ostiary.export.light.rows import DARK, EVERYBODY, OTHERS, QualityTable, SpoiltRow

TITLES = ("photos", "found", "score", "FNMR", "FNIR", "FMR", "refused")


def show(loaded: Bundle, faces: Path, exclude: Path | None, json: bool) -> None:
    """Spoil the photos, measure and print. Raises PhotoError or BundleError."""
    loaded.det()  # without curves there is no tau: say so before minutes of work
    wrong = [] if exclude is None else [photo.id for photo in excluded.read(exclude)[0].photos]
    people = looks.people_in(faces, frozenset(wrong))
    bar, done = progress("spoiling photos")
    with bar:
        seen = looks.look_at(loaded, people, done)
    found = rows.table(loaded, seen)
    if json:
        return print_json(found)
    out.print(
        f"{found.people} people, a template of one photo each; tau {found.tau_claim:.3f} of a claim"
        f" at FMR {rows.FMR:g}, {found.tau_identify:.3f} of an identification at FPIR"
        f" {rows.FPIR:g} and K={found.k}; intervals are over people"
    )
    _by_kind(found)
    _by_measure(found.by_measure)


def _by_kind(found: QualityTable) -> None:
    table = _table("photos spoilt on purpose", "spoilt by")
    darkest = Table(
        title=f"kept out: not found, refused or below tau; the {found.darkest} people with the"
        f" darkest skin (typology angle up to {found.tone_deg:.0f} degrees) and the others"
    )
    for title in ("spoilt by", DARK, OTHERS):
        darkest.add_column(title, justify="left" if title == "spoilt by" else "right")
    by_group = {group: [r for r in found.by_kind if r.group == group] for group in (DARK, OTHERS)}
    for row in [r for r in found.by_kind if r.group == EVERYBODY]:
        name = f"{row.what} {row.grade:g} {row.unit}" if row.unit else row.what
        table.add_row(name, *_cells(row))
        same = [
            next((r for r in of if (r.what, r.grade) == (row.what, row.grade)), None)
            for of in by_group.values()
        ]
        darkest.add_row(name, *("-" if r is None else _rate(r.kept_out) for r in same))
    out.print(table)
    out.print(darkest)


def _by_measure(found: Sequence[SpoiltRow]) -> None:
    table = _table("the same photos by what the door measures of the face", "measure")
    for row in found:
        table.add_row(f"{row.what} {row.grade:g} to {row.until:g}", *_cells(row))
    out.print(table)


def _table(title: str, first: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for name in TITLES:
        table.add_column(name, justify="right")
    return table


def _cells(row: SpoiltRow) -> tuple[str, ...]:
    return (
        f"{row.photos}",
        f"{row.found:.3f}",
        f"{row.score:.3f}",
        _rate(row.fnmr),
        f"{row.fnir.value:.3f}",
        f"{row.fmr.value:.5f}",
        f"{row.refused:.3f}",
    )


def _rate(rate: Rate) -> str:
    return f"{rate.value:.3f} ({rate.low:.3f} to {rate.high:.3f})"
