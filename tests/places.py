"""Where the tests find and put files."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("OSTIARY_DATA", ROOT.parent / "shared" / "data"))


def write_png(path: Path, image: np.ndarray) -> Path:
    """A picture as PNG, of whatever depth and channels it has."""
    assert cv2.imwrite(str(path), image)
    return path
