"""Lists of pairs in the form of LFW's pairs.txt, and the accuracy by LFW's protocol.

Huang, Ramesh, Berg, Learned-Miller 2007, "Labeled Faces in the Wild": the accuracy of each fold
with the threshold that is best on the other folds; the mean over the folds, its standard error.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.adapters.photos import is_photo
from ostiary.edge.core.scores.metrics import proportion
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import ConfigError, PhotoError
from ostiary.edge.files import list_text
from ostiary.export.faces.pairs import FMRS, LEAST_IMPOSTORS
from ostiary.export.records.results import TarRow

Flags = NDArray[np.bool_]
SUFFIX = ".jpg"
FORM = 'one line "folds n" or "n"; for each fold n lines "name i j" and n lines "name1 i name2 j"'


@dataclass(frozen=True, slots=True)
class ListedPair:
    """One pair of a list: its fold, its line in the file, and its photos as (name, number)."""

    fold: int
    line: int
    first: tuple[str, int]
    second: tuple[str, int]

    @property
    def same(self) -> bool:
        return self.first[0] == self.second[0]


class FoldAccuracy(msgspec.Struct, frozen=True):
    """The accuracy by LFW's protocol: the mean over the folds, its standard error, each fold."""

    mean: float
    standard_error: float
    folds: list[float]


def read(path: Path) -> list[ListedPair]:
    """The pairs of a list. Raises ConfigError, naming the file and the line."""
    try:
        text = list_text(path).rstrip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the list {path}: {error}") from error
    lines = [line.split() for line in text.splitlines()]
    folds, each = _header(path, lines[0] if lines else [])
    if len(lines) - 1 != 2 * folds * each:
        raise ConfigError(
            f"{path} has {len(lines) - 1} lines after the first, {2 * folds * each} are expected",
            FORM,
        )
    return [_pair(path, at, words, at // (2 * each), at // each % 2 == 0)
            for at, words in enumerate(lines[1:])]  # fmt: skip


def photos(pairs: list[ListedPair], faces: Path) -> dict[tuple[str, int], Path]:
    """The file of every photo that the pairs name: NAME/NAME_0001.jpg in the folder `faces`.

    Another suffix of a picture is taken if only one file fits. Raises PhotoError, naming the line.
    """
    found: dict[tuple[str, int], Path] = {}
    for pair in pairs:
        for name, number in (pair.first, pair.second):
            if (name, number) not in found:
                found[name, number] = _file(faces, name, number, pair.line)
    return found


def accuracy(scores: Floats, same: Flags, fold: NDArray[np.int64]) -> FoldAccuracy | None:
    """LFW's accuracy of scores (n,), with `same` and `fold` (n,); None if all are of one fold."""
    folds = np.unique(fold)
    if len(folds) < 2:
        return None
    found = []
    for held in folds:
        inside = fold == held
        tau = best_threshold(scores[~inside], same[~inside])
        found.append(float(((scores[inside] >= tau) == same[inside]).mean()))
    error = float(np.std(found, ddof=1) / np.sqrt(len(found)))
    return FoldAccuracy(float(np.mean(found)), error, found)


def best_threshold(scores: Floats, same: Flags) -> float:
    """The threshold that decides the most pairs rightly: the lowest such score, or above all."""
    order = np.argsort(scores, kind="stable")
    rising, genuine = scores[order], same[order].astype(np.int64)
    # With the threshold at the pair `cut`, the pairs before it are called different.
    right = np.concatenate([[0], np.cumsum(1 - genuine)])
    right += genuine.sum() - np.concatenate([[0], np.cumsum(genuine)])
    # Equal scores cannot be parted.
    parts = np.concatenate([[True], np.diff(rising) > 0, [True]])
    cut = int(np.where(parts, right, -1).argmax())
    return float(rising[cut] if cut < len(rising) else np.nextafter(rising[-1], np.float32(2)))


def tar_rows(scores: Floats, same: Flags) -> list[TarRow]:
    """The TAR at each usual FMR for which there are enough pairs of different people.

    The intervals are Wilson's: the pairs of a list are drawn nearly independently.
    """
    genuine, impostor = scores[same], np.sort(scores[~same])[::-1]
    found = []
    for fmr in FMRS:
        if fmr * len(impostor) >= LEAST_IMPOSTORS and len(genuine):
            tau = float(np.nextafter(impostor[int(fmr * len(impostor))], np.float32(2)))
            rate = proportion(int((genuine >= tau).sum()), len(genuine))
            found.append(TarRow(fmr, tau, rate))
    return found


def _header(path: Path, words: list[str]) -> tuple[int, int]:
    numbers = [_number(path, 1, word) for word in words]
    if len(numbers) not in (1, 2):
        raise ConfigError(f"{path}, line 1: expected one or two numbers, got {len(words)}", FORM)
    return (1, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def _pair(path: Path, at: int, words: list[str], fold: int, same: bool) -> ListedPair:
    line, form = at + 2, "name i j" if same else "name1 i name2 j"
    if len(words) != (3 if same else 4):
        raise ConfigError(f'{path}, line {line}: expected "{form}", got "{" ".join(words)}"', FORM)
    if same:
        words = [words[0], words[1], words[0], words[2]]
    first = words[0], _number(path, line, words[1])
    second = words[2], _number(path, line, words[3])
    for name in {first[0], second[0]}:
        # A name is one folder: a list from elsewhere must not lead out of the folder of faces.
        if Path(name).name != name or name == "..":
            raise ConfigError(f"{path}, line {line}: {name!r} is not a folder's name")
    if first == second or (first[0] == second[0]) is not same:
        expected = "two photos of one person" if same else "photos of two people"
        raise ConfigError(f"{path}, line {line}: expected {expected}", FORM)
    return ListedPair(fold, line, first, second)


def _number(path: Path, line: int, word: str) -> int:
    if not (word.isascii() and word.isdigit() and 0 < int(word) < 10**6):
        raise ConfigError(f"{path}, line {line}: {word!r} is not a number from 1 on", FORM)
    return int(word)


def _file(faces: Path, name: str, number: int, line: int) -> Path:
    usual = faces / name / f"{name}_{number:04d}{SUFFIX}"
    if usual.is_file():
        return usual
    others = [p for p in usual.parent.glob("*") if p.stem == usual.stem and is_photo(p)]
    if len(others) == 1:
        return others[0]
    which = f"{len(others)} files fit {usual.stem}" if others else f"there is no {usual}"
    raise PhotoError(f"line {line} of the list: {which}", "give the folder that the list is for")
