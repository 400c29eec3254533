"""The presentations of a data set: those in the layout, and what `labels.csv` says of them."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.errors import RecordingError
from ostiary.edge.files import list_text, trimmed
from ostiary.edge.presentations.recordings import (
    LABELS,
    LAYOUT,
    Recording,
    is_laid_out,
    laid_out,
    placed,
)

PATH, EVERY = "path", "every_s"
WORDS = ("kind", "type", "light", "person", "group")
HINT = f"columns: {', '.join((PATH, *WORDS, EVERY))}"
Row = dict[str, str]


def recordings(folder: Path) -> list[Recording]:
    """The presentations of a data set, in order of name. Raises RecordingError, naming the file or
    the line of `labels.csv` at fault."""
    if not folder.is_dir():
        raise RecordingError(f"there is no folder {folder}", LAYOUT)
    found: dict[str, Recording] = {}
    for line, row in _rows(folder / LABELS):
        try:
            one = _labelled(folder, row)
        except RecordingError as error:
            where = f"{folder / LABELS}, line {line}: {error.message}"
            raise RecordingError(where, error.hint) from error
        if one.name in found:
            raise RecordingError(f"{folder / LABELS}, line {line}: {one.name} is there already")
        found[one.name] = one
    found |= {one.name: one for one in placed(folder, found)}
    if not found:
        raise RecordingError(f"{folder} holds no presentations", LAYOUT)
    return [found[name] for name in sorted(found)]


def _labelled(folder: Path, row: Row) -> Recording:
    name = row.pop(PATH)
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise RecordingError(f"{name!r} is not a path in {folder}")
    path, name = folder / name, Path(name).as_posix()
    if not path.exists():
        raise RecordingError(f"there is no {path}")
    given = {key: text for key, text in row.items() if text}
    every_s = _seconds(given.pop(EVERY)) if EVERY in given else None
    one = laid_out(path, name) if is_laid_out(name) else _elsewhere(path, name, given)
    kind = _kind(given.pop("kind", one.kind.value))
    words = {word: given.get(word, getattr(one, word)) for word in WORDS[1:]}
    one = Recording(path, name, kind, **words, every_s=every_s)
    if one.is_attack != bool(one.type):
        raise RecordingError("an attack needs a type, and bona fide has none")
    if not one.person:
        raise RecordingError("a presentation needs a person")
    return one


def _elsewhere(path: Path, name: str, given: Row) -> Recording:
    """A presentation that lies anywhere: `kind` must be told."""
    if "kind" not in given:
        raise RecordingError(f"{name} does not say what it shows: `kind` is needed", LAYOUT)
    return Recording(path, name, _kind(given["kind"]))


def _kind(text: str) -> Presentation:
    if text not in ("bona-fide", "attack"):
        raise RecordingError(f"{text!r} is not a kind", "bona-fide or attack")
    return Presentation(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 60:
        raise RecordingError(f"every_s is {text!r}", "expected seconds, more than 0 and at most 60")
    return seconds


def _rows(path: Path) -> list[tuple[int, Row]]:
    """The number of each line, and its cells by column; empty without the file."""
    if not path.exists():
        return []
    try:
        text = list_text(path)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path} is not UTF-8: {error}", "save it as CSV UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, trimmed(cells)) for cells in reader]
    except csv.Error as error:
        raise RecordingError(f"{path}, line {reader.line_num}: {error}") from error
    lines = [(number, cells) for number, cells in lines if cells]
    if not lines:
        raise RecordingError(f"{path} is empty", HINT)
    header = lines[0][1]
    _check(path, header)
    return [(number, _row(path, number, header, cells)) for number, cells in lines[1:]]


def _check(path: Path, header: list[str]) -> None:
    unknown = [name for name in header if name not in (PATH, *WORDS, EVERY)]
    if unknown:
        raise RecordingError(f"{path} has an unknown column {unknown[0]!r}", HINT)
    if PATH not in header:
        raise RecordingError(f"{path} has no column {PATH!r}", HINT)
    if len(set(header)) < len(header):
        raise RecordingError(f"{path} has a column twice", HINT)


def _row(path: Path, number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) > len(header):
        problem = f"{len(cells)} cells, but the header has {len(header)}"
        raise RecordingError(f"{path}, line {number}: {problem}")
    return dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=True))
