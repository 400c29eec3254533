"""The recorded head of a landmark model, which goes into every bundle with that model."""

from __future__ import annotations

from importlib import resources

from ostiary.edge.runtime.heads import upright_file
from ostiary.edge.runtime.heads.upright_file import UPRIGHT, UprightFile


def recorded(landmarks_sha256: str) -> UprightFile | None:
    """The head that comes with Ostiary, if it is for this landmark model."""
    raw = (resources.files("ostiary.export") / "recipes" / UPRIGHT).read_bytes()
    found = upright_file.parse(raw, UPRIGHT)
    return found if found.landmarks_sha256 == landmarks_sha256 else None
