"""Face crops of a folder of people: found, aligned and cut by the device's own code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.adapters.photos import SUFFIXES, is_photo
from ostiary.edge.errors import PhotoError
from ostiary.edge.files import as_text
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import NO_FACE, crop_photo, each_photo

ID_DIGITS = 16
OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")
"""Visible names of system files that Windows leaves in folders of photos."""


@dataclass(frozen=True, slots=True, eq=False)
class Crops:
    """The aligned faces of photos: `images` (n, h, w, 3) uint8 BGR.

    `person` (n,) is an index into `names`, the folders' names; `photos` are the photos' ids.
    `missing` counts the photos left out, by problem; `refused` counts the photos that a door would
    refuse, by quality failure ("any": all of them). `paths`, and the paths and problems in
    `left_out`, exist only if the photos were read from files. `labels_left_out` counts the photos
    that an exclusion list of wrong labels has removed, `labels_sha256` is that of the list.
    """

    images: NDArray[np.uint8]
    person: NDArray[np.int64]
    photos: list[str]
    names: list[str]
    missing: dict[str, int]
    refused: dict[str, int]
    paths: list[Path] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    labels_left_out: int = 0
    labels_sha256: str | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def people(self) -> int:
        return len(np.unique(self.person))

    def only(self, kept: NDArray[np.int64] | NDArray[np.bool_]) -> Crops:
        """The crops of some rows, given as indices or as a mask."""
        rows = np.arange(len(self))[kept]
        return replace(
            self,
            images=self.images[rows],
            person=self.person[rows],
            photos=[self.photos[i] for i in rows],
            paths=[self.paths[i] for i in rows] if self.paths else [],
        )

    def without(self, photos: list[str]) -> Crops:
        """All crops except those of the photos with these ids."""
        left_out = set(photos)
        return self.only(np.array([photo not in left_out for photo in self.photos], bool))


def read_crops(
    bundle: Bundle, faces: Path, backend: str, done: Callable[[int, int], None]
) -> Crops:
    """The crops of a folder with one subfolder of photos per person; other files are skipped.

    Raises PhotoError if the folder is missing, has photos of fewer than two people, or shows no
    face.
    """
    if not faces.is_dir():
        raise PhotoError(
            f"there is no folder {faces}", "give a folder with one subfolder of photos per person"
        )
    found = [p for p in inside(faces) if is_photo(p)]
    folders = sorted({p.parent.name for p in found})
    if len(folders) < 2:
        raise PhotoError(
            f"{faces} holds photos of {len(folders)} people",
            f"give one subfolder per person, of two people or more: {', '.join(SUFFIXES)}",
        )
    return crops_of(bundle, found, backend, done)


def crops_of(
    bundle: Bundle, found: list[Path], backend: str, done: Callable[[int, int], None]
) -> Crops:
    """The crops of these photos, each in a folder with its person's name.

    Raises PhotoError if none shows a face.
    """
    results = each_photo(bundle.in_float(), found, crop_photo, backend, done)
    kept = [(path, r) for path, r in zip(found, results, strict=True) if r.image is not None]
    left_out = [(path, r.problem) for path, r in zip(found, results, strict=True) if r.problem]
    if not kept:
        unread = sum(problem != NO_FACE for _, problem in left_out)
        faces = found[0].parent.parent
        raise PhotoError(
            f"no face in any of the {len(found)} photos of {faces}; {unread} cannot be read",
            "give photos that show a face",
        )
    folders = sorted({path.parent.name for path in found})
    refused = Counter(name for r in results for name in r.failures)
    refused["any"] = sum(1 for r in results if r.failures)
    number = {name: i for i, name in enumerate(folders)}
    return Crops(
        np.stack([r.image for _, r in kept if r.image is not None]),
        np.array([number[path.parent.name] for path, _ in kept]),
        [photo_id(path) for path, _ in kept],
        folders,
        dict(Counter(problem for _, problem in left_out)),
        dict(refused),
        [path for path, _ in kept],
        left_out,
    )


def inside(faces: Path) -> list[Path]:
    """All files in the subfolders of a folder, sorted, photos or not; hidden files are left out."""
    return sorted(p for p in faces.glob("*/*") if not (is_hidden(p) or is_hidden(p.parent)))


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is hidden, by its name."""
    return path.name.startswith(".") or path.name.lower() in OF_THE_SYSTEM


def data_set_name(faces: Path, given: str) -> str:
    """A data set's name in stored files: `given`, or else the folder's, made printable."""
    return as_text(given or faces.name)


def photo_id(photo: Path) -> str:
    """The id of a photo's file: the first digits of its SHA-256."""
    return sha256(photo.read_bytes()).hexdigest()[:ID_DIGITS]
