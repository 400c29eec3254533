"""`ostiary-export evaluate`: measure an encoder on faces, all pairs and open set."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ostiary.edge.cli.console import print_json, progress
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BundleError, ConfigError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.export.bundle.release import read_measured, release
from ostiary.export.bundle.staging import copied
from ostiary.export.cli import pair_lists, quality_table, tables
from ostiary.export.cli.choices import (
    Estimated,
    Exclude,
    GroupLabels,
    GroupsOption,
    Json,
    Key,
    SignWeak,
    group_file_of,
)
from ostiary.export.cli.judging import BundleDir, DataSet, Faces, end, strangers
from ostiary.export.cli.making import stages
from ostiary.export.faces import open_set
from ostiary.export.faces.crops import Crops, data_set_name
from ostiary.export.faces.curves import worst_group
from ostiary.export.faces.groups import Groups, read_groups
from ostiary.export.faces.kinds import Kind, People
from ostiary.export.faces.open_set import Search
from ostiary.export.faces.rates import GroupRow, group_rows
from ostiary.export.graphs import run
from ostiary.export.records.results import EncoderMeasurements, OpenSetRow, TarRow


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    bundle: BundleDir,
    faces: Faces,
    data_set: DataSet = "",
    fpir: Annotated[
        list[float] | None,
        typer.Option(min=1e-6, max=0.5, help="FPIR that tau is for; may be repeated; .01."),
    ] = None,
    k: Annotated[
        list[int] | None,
        typer.Option(help="Number of enrolled people; may be repeated; 100 and 300 by default."),
    ] = None,
    photos: Annotated[
        list[int] | None,
        typer.Option(min=1, max=3, help="Photos per template; may be repeated; 1 by default."),
    ] = None,
    visits: Annotated[
        bool, typer.Option("--visits", help="Search with visits: several photos of one person.")
    ] = False,
    quality: Annotated[
        bool,
        typer.Option(
            "--quality",
            help="Instead print what poor light, blur, noise and size do to the score of a face.",
        ),
    ] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Embed the probes in int8, as a door does.")
    ] = False,
    exclude: Exclude = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="List of pairs like LFW's pairs.txt: measure on these pairs only."),
    ] = None,
    from_bundle: Annotated[
        bool,
        typer.Option(
            "--from-bundle",
            help="Take tau from the bundle's own curves, for people whom these never saw.",
        ),
    ] = False,
    groups: GroupsOption = None,
    group_labels: GroupLabels = "",
    estimated: Estimated = False,
    draws: Annotated[int, typer.Option(min=1, help="Random enrollments for each K.")] = 20,
    resplit: Annotated[
        bool, typer.Option("--resplit", help="Split the people anew for each enrollment.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed of the enrollments.")] = 0,
    write: Annotated[
        bool, typer.Option("--write", help="Store the DET curve in the bundle (without int8 only).")
    ] = False,
    key: Key = None,
    sign_weak: SignWeak = False,
    json: Json = False,
) -> None:
    """Measure an encoder: TAR over all pairs, and FPIR and FNIR in an open-set test.

    The open-set test takes tau from half of the people and measures on the other half. With groups
    it is repeated within each group, with tau from everybody and from the worst group.

    A list of pairs gives the accuracy by LFW's protocol instead. With quality, photos are spoilt in
    graded steps: darker, brighter, blurred, smaller and so on.

    Exit code 0: measured, 1: with --write the encoder is too weak, so that the bundle is no longer
    signed, 2: bad input.

    Example: `ostiary-export evaluate bundle --faces lfw --k 100 --k 300 --photos 1 --photos 2`

    Example: `ostiary-export evaluate bundle --faces lfw --pairs pairs.txt`

    Example: `ostiary-export evaluate bundle --faces lfw --quality`
    """
    loaded = bundles.read(bundle)
    if write and (pairs is not None or quality):
        what = "a list of pairs" if pairs is not None else "a table of quality"
        raise ConfigError(f"{what} gives no DET curve to store", "measure all pairs")
    if quality:
        return quality_table.show(loaded, faces, exclude, json)
    if pairs is not None:
        return pair_lists.show(loaded, faces, pairs, exclude, int8, json)
    crops = strangers(loaded, faces, exclude)
    group_file = group_file_of(groups, group_labels, estimated)
    known = None if group_file is None else read_groups(group_file, crops)
    people = _embedded(loaded, crops, int8)
    name = data_set_name(faces, data_set)
    curve, tar = open_set.det_file(loaded.encoder_id, name, people.templates, people.person)
    searches = [
        Search(tuple(k or (100, 300)), rate, draws, seed, Kind(count, visits), resplit=resplit)
        for count in photos or [1]
        for rate in fpir or [0.01]
    ]
    curve = msgspec.structs.replace(
        curve, labels_left_out=crops.labels_left_out, labels_sha256=crops.labels_sha256
    )
    opened, rates = _opened(loaded, people, searches, known, from_bundle)
    if write:
        changed = dataclasses.replace(read_measured(loaded), curve=curve)
        _store(loaded, changed, key, sign_weak)
    if json:
        print_json(_summary(crops, curve.float_float.genuines, tar, opened, rates))
    else:
        tables.show_all_pairs(crops, tar)
        tables.show_groups(rates)
        source = "the bundle's curves" if from_bundle else "the other half"
        tables.show_open_set(f"tau from {source}", opened)
    if write:
        end(bundles.read(bundle), sign_weak, json)


def _embedded(loaded: Bundle, crops: Crops, int8: bool) -> People:
    def rows(name: str) -> Floats:
        model = loaded.model(name)
        return run.embed((loaded.path / model.file).read_bytes(), crops.images, model.spec)

    templates = rows(FLOAT)
    if int8 and INT8 not in loaded.manifest.models.items():
        raise BundleError(f"{loaded.path} has no int8 encoder", "build it with int8")
    return People(templates, rows(INT8) if int8 else templates, crops.person)


def _opened(
    loaded: Bundle,
    people: People,
    searches: list[Search],
    groups: Groups | None,
    from_bundle: bool,
) -> tuple[list[OpenSetRow], list[GroupRow]]:
    """The open-set rows, then those within each group; and the rates of all pairs by group."""
    tests = list(searches)
    rates: list[GroupRow] = []
    if groups is not None:
        worst = worst_group(people, groups)
        if worst is None:
            raise ConfigError("no group has enough photos to measure", "give more people")
        rates = group_rows(people, groups)
        tests += _within(searches, groups, worst.name)
    rows: list[OpenSetRow] = []
    bar, done = progress("open set")
    with bar:
        for number, test in enumerate(tests, 1):
            rows += _test(loaded, people, test, groups, from_bundle)
            done(number, len(tests))
    return rows, rates


def _within(searches: list[Search], groups: Groups, worst: str) -> Iterator[Search]:
    """Every search within each group: with the tau of everybody, and of the worst group."""
    for search in searches:
        for group in groups.names:
            for tau_of in ("", worst):
                yield dataclasses.replace(search, gallery_of=group, tau_of=tau_of)


def _test(
    loaded: Bundle, people: People, search: Search, groups: Groups | None, from_bundle: bool
) -> list[OpenSetRow]:
    if not from_bundle:
        return open_set.open_set(people, search, groups)
    comparison = "float_int8" if people.probes is not people.templates else "float_float"
    curves = loaded.det().curves_for(comparison, worst=bool(search.tau_of))  # type: ignore[arg-type]
    found = (curves.visit if search.kind.visit else curves.single).get(search.kind.photos)
    if found is None:
        raise BundleError(f"{loaded.path} has no curve for {search.kind}", "verify it on faces")
    return open_set.with_curve(people, search, found, groups)


def _store(loaded: Bundle, changed: EncoderMeasurements, key: Path | None, sign_weak: bool) -> None:
    if INT8 in loaded.manifest.models.items():
        raise BundleError(
            f"{loaded.path} has an int8 encoder: its DET curves come from the gate",
            "run ostiary-export verify",
        )
    with stages("evaluate") as say, copied(loaded.path) as folder:
        release(Bundle(folder, loaded.manifest, None), changed, key, say, sign_weak)


def _summary(
    crops: Crops,
    genuines: int,
    tar: list[TarRow],
    opened: list[OpenSetRow],
    rates: list[GroupRow],
) -> dict[str, object]:
    return {
        "images": len(crops),
        "people": crops.people,
        "without_face": crops.missing,
        "below_quality": crops.refused,
        "labels_left_out": crops.labels_left_out,
        "labels_sha256": crops.labels_sha256,
        "genuine_pairs": genuines,
        "tar": tar,
        "open_set": opened,
        "groups": rates,
    }
