"""Count which photos of people who really wear masks a door refuses, and which of bare ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.table import Table

from bench import common
from bench.common import shown
from ostiary.edge.adapters.photos import is_photo
from ostiary.edge.cli.console import out, print_json, progress
from ostiary.edge.core.faces import quality
from ostiary.edge.core.scores.metrics import Rate, proportion
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import crop_photo, each_photo


class WornCounts(msgspec.Struct, frozen=True):
    """Photos of a folder: with a face, and of these the ones that break another limit, or none but
    that of covered faces; `look_covered` is the share of the latter that does look covered."""

    folder: str
    photos: int
    faces: int
    other_limits: int
    clear: int
    look_covered: Rate


def count(bundle: Bundle, folder: Path, name: str) -> WornCounts:
    """The most prominent face of each photo in a folder. Raises PhotoError if it shows none."""
    files = [path for path in sorted(folder.rglob("*")) if is_photo(path)]
    bar, done = progress(f"photos of {name} faces")
    with bar:
        found = each_photo(bundle.in_float(), files, crop_photo, done=done)
    faces = [result for result in found if result.image is not None]
    clear = [set(r.failures) for r in faces if set(r.failures) <= {quality.COVERED}]
    if not clear:
        raise PhotoError(f"no photo of {folder} shows a usable face")
    covered = sum(bool(failed) for failed in clear)
    return WornCounts(
        name,
        len(files),
        len(faces),
        len(faces) - len(clear),
        len(clear),
        proportion(covered, len(clear)),
    )


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = common.options("bench.views.worn", __doc__, "--covered MASKED --bare BARE", faces="")
    options.add_argument("--covered", type=Path, help="folder of photos of covered faces")
    options.add_argument("--bare", type=Path, help="folder of photos of bare faces")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """Print the table; 2 for bad input."""
    return common.run(_run, parser().parse_args(words))


def _run(args: argparse.Namespace) -> int:
    given = {"covered": args.covered, "bare": args.bare}
    bundle = bundles.read(args.bundle)
    rows = [count(bundle, folder, name) for name, folder in given.items() if folder]
    if not rows:
        raise PhotoError("no folder was given", "give --covered, --bare or both")
    if args.json:
        print_json(rows)
        return 0
    table = Table("faces", "photos", "with a face", "break other limits", "clear", "look covered")
    for row in rows:
        counts = (row.photos, row.faces, row.other_limits, row.clear)
        table.add_row(row.folder, *map(str, counts), shown(row.look_covered))
    out.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
