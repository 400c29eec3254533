"""A folder of people into embeddings: one folder a person, on all cores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.adapters.photos import is_photo
from edge.core.types import Floats
from edge.errors import PhotoError
from edge.many import PhotoResult, embed_photos
from edge.runtime.bundle import Bundle


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """Every image with a face: `embeddings` (n, dim), the `person` (n,) each is of, and what
    was left out or would be refused at a door, by name of the failure."""

    embeddings: Floats
    person: NDArray[np.int64]
    names: list[str]
    missing: dict[str, int]
    refused: dict[str, int]

    @property
    def images(self) -> int:
        return len(self.embeddings)


def read_people(
    bundle: Bundle, faces: Path, backend: str, done: Callable[[int, int], None]
) -> People:
    """Embed a folder of folders of photos. Raises PhotoError where it holds too little."""
    if not faces.is_dir():
        raise PhotoError(f"no folder {faces}", "a folder with one folder of photos a person")
    found = sorted(p for p in faces.glob("*/*") if is_photo(p))
    folders = sorted({p.parent.name for p in found})
    if len(folders) < 2:
        raise PhotoError(
            f"{faces} holds photos of {len(folders)} people", "one folder of photos a person"
        )
    results = embed_photos(bundle, found, backend, done)
    return _people(found, folders, results)


def _people(found: list[Path], folders: list[str], results: list[PhotoResult]) -> People:
    number = {name: i for i, name in enumerate(folders)}
    kept = [
        (p, r.embedding) for p, r in zip(found, results, strict=True) if r.embedding is not None
    ]
    missing = Counter(r.problem for r in results if r.problem)
    refused = Counter(name for r in results for name in r.failures)
    refused["any"] = sum(1 for r in results if r.failures)
    return People(
        np.stack([embedding for _, embedding in kept]),
        np.array([number[path.parent.name] for path, _ in kept]),
        folders,
        dict(missing),
        dict(refused),
    )
