"""Where the tests find and put files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("OSTIARY_DATA", ROOT.parent / "shared" / "data"))


def write_png(path: Path, image: np.ndarray) -> Path:
    """A picture as PNG, of whatever depth and channels it has."""
    assert cv2.imwrite(str(path), image)
    return path


def ostiary(*arguments: object, program: str = "edge") -> subprocess.CompletedProcess[str]:
    """Run a command as a user would; a traceback is a failure whatever the test expects."""
    done = subprocess.run(
        [sys.executable, "-m", f"ostiary.{program}", *map(str, arguments)],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done


def refused(*arguments: object, program: str = "edge") -> str:
    """What a command says when it refuses its input."""
    done = ostiary(*arguments, program=program)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


def ostiary_export(*arguments: object) -> subprocess.CompletedProcess[str]:
    return ostiary(*arguments, program="export")
