"""The contact sheet of the demo, and docs/images/contact-sheet.png, one that may be shown.

The demo's photographs of two people are not ours to copy, so drawn faces stand in for them. The
stranger is NASA's portrait of Eileen Collins, as in the demo. Run: python -m scripts.contact_sheet
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.types import Decision, Face, Image, Outcome, Reason
from ostiary.edge.vision.picture import draw

ROOT = Path(__file__).resolve().parent.parent
PORTRAIT = ROOT / "export" / "assets" / "portrait.jpg"
TARGET = ROOT / "docs" / "images" / "contact-sheet.png"
WIDTH_PX = 1200
GRANTED, DENIED = Outcome.GRANTED, Outcome.DENIED
DECISIONS = (
    Decision(GRANTED, Reason.MATCHED, "obama", 0.709, 0.354, 2),
    Decision(DENIED, Reason.UNKNOWN, None, 0.226, 0.354, 2),
    Decision(GRANTED, Reason.MATCHED, "biden", 0.955, 0.354, 2),
    Decision(GRANTED, Reason.MATCHED, "obama", 0.709, 0.404, 1),
    Decision(DENIED, Reason.MISMATCH, "biden", 0.255, 0.404, 1),
    Decision(DENIED, Reason.UNKNOWN, None, None, 0.332, 0),
    Decision(GRANTED, Reason.MATCHED, "obama", 0.709, 0.332, 1),
    Decision(DENIED, Reason.UNKNOWN, None, None, 0.332, 0),
)
"""What the demo decides, as the README shows it."""
FACES = ("first", "portrait", "second", *["first"] * 5)
SKIN, HAIR = (150, 178, 214), {"first": (48, 44, 42), "second": (200, 202, 204)}
WALL, COAT, LINE = (176, 168, 158), (92, 74, 62), (70, 62, 58)


PORTRAIT_FACE = Face(
    np.array([225, 77, 340, 223], np.float32),
    np.array([[257, 126], [307, 128], [282, 160], [256, 177], [305, 178]], np.float32),
    1.0,
)
"""As the detector finds it in the portrait."""
DRAWN_FACE = Face(
    np.array([248, 116, 392, 322], np.float32),
    np.array([[290, 208], [350, 208], [320, 246], [296, 278], [344, 278]], np.float32),
    1.0,
)


def main(target: Path = TARGET) -> None:
    """Write the picture that may be shown."""
    cells = [draw(*_seen(name), decision) for name, decision in zip(FACES, DECISIONS, strict=True)]
    whole = as_sheet(cells)
    height = round(whole.shape[0] * WIDTH_PX / whole.shape[1])
    small = cv2.resize(whole, (WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    target.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(target), small, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def as_sheet(pictures: Sequence[Image]) -> Image:
    """Pictures of one size as one, three in a row."""
    filled = [*pictures, *[np.zeros_like(pictures[0])] * (-len(pictures) % 3)]
    rows = [np.hstack(filled[i : i + 3]) for i in range(0, len(filled), 3)]
    return np.vstack(rows).astype(np.uint8)


def sheet_of(files: Sequence[Path]) -> Image:
    """The pictures of these files, of one size, as one."""
    return as_sheet([read_photo(file) for file in files])


def _seen(name: str) -> tuple[Image, Face]:
    """A frame of 640x480, and the face in it."""
    if name == "portrait":
        return read_photo(PORTRAIT), PORTRAIT_FACE
    return _drawn(HAIR[name]), DRAWN_FACE


def _drawn(hair: tuple[int, int, int]) -> Image:
    """A person before a wall, in plain shapes."""
    frame = np.full((480, 640, 3), WALL, np.uint8)

    def blob(middle: tuple[int, int], size: tuple[int, int], colour: tuple[int, int, int]) -> None:
        cv2.ellipse(frame, middle, size, 0, 0, 360, colour, -1, cv2.LINE_AA)

    blob((320, 190), (88, 96), hair)
    cv2.rectangle(frame, (288, 290), (352, 400), SKIN, -1)
    blob((320, 520), (190, 160), COAT)
    blob((320, 362), (40, 26), SKIN)
    blob((320, 222), (74, 100), SKIN)
    cv2.ellipse(frame, (320, 160), (76, 46), 0, 180, 360, hair, -1, cv2.LINE_AA)
    for x in (290, 350):
        blob((x, 208), (13, 8), (240, 240, 240))
        blob((x, 208), (6, 6), LINE)
        cv2.line(frame, (x - 16, 190), (x + 16, 190), hair, 4, cv2.LINE_AA)
    cv2.line(frame, (320, 214), (311, 246), LINE, 2, cv2.LINE_AA)
    cv2.line(frame, (311, 246), (326, 248), LINE, 2, cv2.LINE_AA)
    cv2.ellipse(frame, (320, 268), (26, 14), 0, 20, 160, LINE, 3, cv2.LINE_AA)
    return frame


if __name__ == "__main__":
    main()
