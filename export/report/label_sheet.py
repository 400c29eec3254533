"""A contact sheet of label errors: each finding is a row with its two faces and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ostiary.edge.core.types import Image
from ostiary.edge.errors import ConfigError
from ostiary.edge.files import write_atomically

FACE_PX, TEXT_PX, GAP_PX, LINE_PX = 160, 560, 12, 24
ROWS_A_PAGE = 10
LETTERS_A_LINE = 58
SUFFIXES = (".jpg", ".jpeg", ".png")
PAPER, INK, FAINT = (255, 255, 255), (30, 30, 30), (130, 130, 130)


@dataclass(frozen=True, slots=True, eq=False)
class SheetRow:
    """Two BGR faces and the lines beside them; the words of a row that is not `sure` are grey."""

    faces: tuple[Image, Image]
    lines: Sequence[str]
    sure: bool


def check_name(path: Path) -> None:
    """Raise ConfigError if no picture can have this name: best before a long computation."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path} is not the name of a picture", f"use {', '.join(SUFFIXES)}")


def write(path: Path, rows: Sequence[SheetRow]) -> list[Path]:
    """Write the rows as pictures, ROWS_A_PAGE on each: `path`, then the same name with -2, -3 and
    so on. Returns the files; none without rows. Raises OSError."""
    written = []
    for number, start in enumerate(range(0, len(rows), ROWS_A_PAGE), 1):
        page = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        drawn = np.vstack([_drawn(row) for row in rows[start : start + ROWS_A_PAGE]])
        _, data = cv2.imencode(path.suffix.lower(), drawn)
        write_atomically(page, data.tobytes())
        written.append(page)
    return written


def _drawn(row: SheetRow) -> Image:
    width = 3 * GAP_PX + 2 * FACE_PX + TEXT_PX
    picture = np.full((FACE_PX + GAP_PX, width, 3), PAPER, np.uint8)
    for at, face in enumerate(row.faces):
        left = GAP_PX + at * (FACE_PX + GAP_PX)
        size = (FACE_PX, FACE_PX)
        shown = cv2.resize(face, size, interpolation=cv2.INTER_CUBIC)
        picture[GAP_PX:, left : left + FACE_PX] = shown
    left = 3 * GAP_PX + 2 * FACE_PX
    for at, line in enumerate(row.lines):
        place = (left, GAP_PX + (at + 1) * LINE_PX)
        ink = INK if row.sure else FAINT
        cv2.putText(
            picture, _fitting(line), place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, ink, 1, cv2.LINE_AA
        )
    return picture


def _fitting(line: str) -> str:
    """The line in letters that OpenCV can draw, shortened in its middle if it is too long."""
    plain = line.encode("ascii", "replace").decode()
    if len(plain) <= LETTERS_A_LINE:
        return plain
    half = (LETTERS_A_LINE - 3) // 2
    return f"{plain[:half]}...{plain[-half:]}"
