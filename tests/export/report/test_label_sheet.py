"""The contact sheet of label errors: a row a finding, pages if many, letters that can be drawn."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from ostiary.edge.errors import ConfigError
from ostiary.export.report import label_sheet
from ostiary.export.report.label_sheet import FACE_PX, GAP_PX, ROWS_A_PAGE, SheetRow


def row(level: int, lines: list[str], sure: bool = True) -> SheetRow:
    faces = [np.full((112, 112, 3), value, np.uint8) for value in (level, 255 - level)]
    return SheetRow((faces[0], faces[1]), lines, sure)


def read(path: Path) -> np.ndarray:
    found = cv2.imread(str(path))
    assert found is not None
    return found


def test_each_row_has_its_two_faces_side_by_side(tmp_path: Path) -> None:
    (page,) = label_sheet.write(tmp_path / "s.png", [row(40, ["a"]), row(90, ["b"])])
    drawn = read(page)
    assert drawn.shape[0] == 2 * (FACE_PX + GAP_PX)
    for at, level in enumerate((40, 90)):
        top = at * (FACE_PX + GAP_PX) + GAP_PX
        first = drawn[top : top + FACE_PX, GAP_PX : GAP_PX + FACE_PX]
        second = drawn[top : top + FACE_PX, 2 * GAP_PX + FACE_PX : 2 * (GAP_PX + FACE_PX)]
        assert (first == level).all()
        assert (second == 255 - level).all()


def test_many_rows_are_many_pages(tmp_path: Path) -> None:
    rows = [row(10 * at, [str(at)]) for at in range(2 * ROWS_A_PAGE + 1)]
    pages = label_sheet.write(tmp_path / "errors.jpg", rows)
    assert [page.name for page in pages] == ["errors.jpg", "errors-2.jpg", "errors-3.jpg"]
    assert [len(read(page)) // (FACE_PX + GAP_PX) for page in pages] == [10, 10, 1]
    assert label_sheet.write(tmp_path / "none.jpg", []) == []


def words(path: Path, line: str, sure: bool = True) -> np.ndarray:
    """What is drawn beside the faces."""
    (page,) = label_sheet.write(path, [row(0, [line], sure)])
    return read(page)[:, 3 * GAP_PX + 2 * FACE_PX :]


def test_the_words_are_drawn_and_long_or_foreign_ones_too(tmp_path: Path) -> None:
    path = tmp_path / "s.png"
    assert (words(path, "") == 255).all()
    assert words(path, "a name").min() < 60
    assert words(path, "a name", sure=False).min() >= 100
    assert (words(path, "Zoë") == words(path, "Zo?")).all()
    long = words(path, "a" * 30 + "b" * 500)
    assert (long[:, -4:] == 255).all(), "nothing runs over the edge"
    assert (long != words(path, "a" * 30 + "c" * 500)).any(), "the end is seen"


@pytest.mark.parametrize("name", ["errors", "errors.pdf", "errors.json"])
def test_another_kind_of_file_is_refused_before_the_work(name: str) -> None:
    with pytest.raises(ConfigError, match=r"use \.jpg") as caught:
        label_sheet.check_name(Path(name))
    assert str(caught.value).startswith(name)
    label_sheet.check_name(Path("a.JPG"))
