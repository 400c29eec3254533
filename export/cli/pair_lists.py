"""`ostiary-export evaluate --pairs`: the accuracy on a list of pairs, such as LFW's pairs.txt."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.edge.runtime.det import Comparison
from ostiary.export.cli import tables
from ostiary.export.faces import excluded, learned, pair_list
from ostiary.export.faces.crops import crops_of
from ostiary.export.faces.pair_list import FoldAccuracy, ListedPair
from ostiary.export.graphs import run
from ostiary.export.graphs.run import Images
from ostiary.export.records.results import TarRow


class PairFigures(msgspec.Struct, frozen=True):
    """What one comparison reaches on a list of pairs; the accuracy needs two folds or more."""

    comparison: Comparison
    accuracy: FoldAccuracy | None
    tar: list[TarRow]


class PairReport(msgspec.Struct, frozen=True):
    """The figures on a list, and how many of its pairs were left out, by reason."""

    pairs: int
    without_face: int
    wrong_labels: int
    learned: int
    figures: list[PairFigures]


def show(
    loaded: Bundle, faces: Path, listed: Path, exclude: Path | None, in_int8: bool, as_json: bool
) -> None:
    """Measure a bundle's encoder on the pairs of a list, and print the figures."""
    if in_int8 and INT8 not in loaded.manifest.models.items():
        raise BundleError(f"{loaded.path} has no int8 encoder", "leave this out", option="int8")
    found = measure(loaded, faces, listed, exclude, in_int8)
    if as_json:
        return print_json(found)
    out.print(
        f"{found.pairs} pairs; left out: {found.without_face} without a face,"
        f" {found.wrong_labels} with wrong labels, {found.learned} of people whom the encoder"
        " learned from"
    )
    for item in found.figures:
        title = tables.TITLES[item.comparison]
        if item.accuracy is None:
            out.print(f"{title}: one fold, so no other folds to choose a threshold on")
        else:
            out.print(
                f"{title}: accuracy {item.accuracy.mean:.4f}, standard error"
                f" {item.accuracy.standard_error:.4f}, over {len(item.accuracy.folds)} folds"
            )
        tables.show_tar(f"TAR, {title}", item.tar)


def measure(
    loaded: Bundle, faces: Path, listed: Path, exclude: Path | None, in_int8: bool
) -> PairReport:
    """The figures of the float encoder, and with `in_int8` those of int8 probes as well.

    The first photo of a pair is the template, the second the probe. Raises ConfigError and
    PhotoError.
    """
    pairs = pair_list.read(listed)
    files = pair_list.photos(pairs, faces)
    known = learned.known_folders(
        {path.parent for path in files.values()}, learned.in_bundle(loaded)
    )
    bar, done = progress("finding faces")
    with bar:
        crops = crops_of(loaded, sorted(set(files.values())), "auto", done)
    faceless = {path for path, _ in crops.left_out}
    right = crops if exclude is None else excluded.leave_out(crops, exclude)
    row = {path: at for at, path in enumerate(right.paths)}
    lost = dict.fromkeys(("face", "label", "learned"), 0)
    scored: list[ListedPair] = []
    for pair in pairs:
        paths = files[pair.first], files[pair.second]
        if not faceless.isdisjoint(paths):
            lost["face"] += 1
        elif not row.keys() >= set(paths):
            lost["label"] += 1
        elif not known.isdisjoint({path.parent for path in paths}):
            lost["learned"] += 1
        else:
            scored.append(pair)
    if len({pair.same for pair in scored}) < 2:
        raise PhotoError(
            f"{listed} leaves no pair of one person, or none of two people, that can be scored",
            "give a longer list",
        )
    ends = [(row[files[pair.first]], row[files[pair.second]]) for pair in scored]
    same = np.array([pair.same for pair in scored])
    fold = np.array([pair.fold for pair in scored])
    figures = [
        PairFigures(name, pair_list.accuracy(scores, same, fold), pair_list.tar_rows(scores, same))
        for name, scores in _scores(loaded, right.images, np.array(ends), in_int8).items()
    ]
    return PairReport(len(pairs), lost["face"], lost["label"], lost["learned"], figures)


def _scores(
    loaded: Bundle, images: Images, ends: NDArray[np.int64], in_int8: bool
) -> dict[Comparison, Floats]:
    """The scores (n,) of pairs of rows (n, 2), by comparison."""
    templates = _embedded(loaded, FLOAT, images)
    first = templates[ends[:, 0]]
    found: dict[Comparison, Floats] = {
        "float_float": np.einsum("ij,ij->i", first, templates[ends[:, 1]])
    }
    if in_int8:
        probes = _embedded(loaded, INT8, images)
        found["float_int8"] = np.einsum("ij,ij->i", first, probes[ends[:, 1]])
    return found


def _embedded(loaded: Bundle, encoder: str, images: Images) -> Floats:
    entry = loaded.model(encoder)
    return run.embed((loaded.path / entry.file).read_bytes(), images, entry.spec)
