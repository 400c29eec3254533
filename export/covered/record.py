"""The recorded head that knows covered faces, which goes into every bundle."""

from __future__ import annotations

from importlib import resources

from ostiary.edge.runtime.heads import covered_file
from ostiary.edge.runtime.heads.covered_file import COVERED, CoveredFile


def recorded() -> CoveredFile:
    """The head that comes with Ostiary."""
    raw = (resources.files("ostiary.export") / "recipes" / COVERED).read_bytes()
    return covered_file.parse(raw, COVERED)
