"""Reads a folder of people to train on: which photos can be used, which are left out and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import NO_FACE, Done
from ostiary.export.faces.crops import Crops, is_hidden, read_crops
from ostiary.export.graphs.run import Images
from ostiary.training.data import duplicates, listing
from ostiary.training.data.duplicates import Twins

MOST_UNREADABLE = 0.05
MIN_IMAGES = 2
LEAST_PEOPLE = 2
NAMED = 5
"""The number of files that a message names."""


class SamePhoto(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two files of one photo; their hashes differ by `bits` of `duplicates.BITS`."""

    first: str
    second: str
    bits: int

    def __str__(self) -> str:
        return f"{self.first} = {self.second}"


class LeftOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The photos and files of a folder that are not used. Files are named as `person/photo`.

    `unreadable` gives each file's problem. `shared` are photos under two people's names; neither is
    used. The second of each pair in `repeats` is not used. `few` gives the number of faces of
    people with too few. `elsewhere` are files beside the people's folders and, in those folders,
    files that are not pictures and folders, which are not searched.
    """

    unreadable: dict[str, str] = {}
    faceless: list[str] = []
    shared: list[SamePhoto] = []
    repeats: list[SamePhoto] = []
    few: dict[str, int] = {}
    elsewhere: list[str] = []

    def counts(self) -> dict[str, int]:
        """The number of photos that are not used, by reason; a reason without photos is left out.

        A folder that is not searched counts as one photo.
        """
        found = {
            "unreadable": len(self.unreadable),
            "no face": len(self.faceless),
            "under two people": len({name for p in self.shared for name in (p.first, p.second)}),
            "twice": len(self.repeats),
            "too few of a person": sum(self.few.values()),
            "not looked into": len(self.elsewhere),
        }
        return {reason: count for reason, count in found.items() if count}


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Aligned faces of at least two people, numbered from 0 in the order of `names`."""

    crops: Crops
    left_out: LeftOut
    barred: frozenset[str] = frozenset()
    """Names left out of every evaluation, used for training only: the encoder learned from them
    before, or they share a photo with another name and may be that person."""

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def images(self) -> Images:
        return self.crops.images

    @property
    def names(self) -> list[str]:
        return self.crops.names

    @property
    def may_judge(self) -> NDArray[np.bool_]:
        """(n,) by person: true for people who are not barred from evaluation."""
        return np.array([name not in self.barred for name in self.names], bool)

    def judges(self) -> Crops:
        """The photos of people who are not barred; their numbers stay unchanged."""
        return self.crops.only(self.may_judge[self.crops.person])


def read_faces(
    bundle: Bundle,
    folder: Path,
    say: Callable[[str], None],
    done: Done = lambda done, total: None,
    *,
    most_unreadable: float = MOST_UNREADABLE,
    min_images: int = MIN_IMAGES,
    learned: Collection[str] = (),
    backend: str = "auto",
) -> Faces:
    """The faces of a folder with one folder of photos per person, aligned as at a door.

    `most_unreadable` is the share of photos that may be unreadable, files of other formats
    included; people with fewer than `min_images` faces are left out. `learned` are the ids of the
    photos that the encoder learned from; the people on them are barred. `say` gets a line about
    everything that is not used. Raises PhotoError if too many photos cannot be read, or fewer than
    two people remain.
    """
    photos = listing.photos_of(folder)
    unreadable = listing.of_other_formats(photos, folder)
    # Check before minutes are spent on finding faces.
    _refuse_unreadable(folder, unreadable, len(photos), most_unreadable)
    crops = read_crops(bundle, folder, backend, done)
    names = {path: str(path.relative_to(folder)) for path, _ in crops.left_out}
    unreadable |= {names[path]: why for path, why in crops.left_out if why != NO_FACE}
    _refuse_unreadable(folder, unreadable, len(photos), most_unreadable)
    # Use all photos: a photo that is left out below may show somebody whom the encoder knows.
    known = _known(crops, learned)
    crops, shares, repeats = _without_twins(crops, folder)
    crops, few = _without_few(_with_all_folders(crops, folder), folder, min_images)
    faceless = [names[path] for path, why in crops.left_out if why == NO_FACE]
    left_out = LeftOut(unreadable, faceless, shares, repeats, few, listing.elsewhere(folder))
    faces = Faces(crops, left_out, frozenset(known | _linked(shares)))
    if known:
        say(f"{len(known)} people whom the encoder learned from are left out of every evaluation")
    for line in told(faces, min_images):
        say(line)
    return faces


def split(faces: Faces, shares: Sequence[float], seed: int) -> list[Crops]:
    """Split the people into the training part and one part per share, with nobody in two parts.

    The split depends only on the seed and the people's names: people are ordered by a hash of both,
    so that a new person moves at most one other person across each border between parts. Barred
    people go to the training part. If too few remain for the shares, all shares shrink in
    proportion. Raises PhotoError if a part would have fewer than two people.
    """
    drawn = sorted(set(faces.names) - faces.barred, key=lambda name: _place(seed, name))
    wanted = [max(round(share * len(faces.names)), LEAST_PEOPLE) for share in shares]
    scale = min(1.0, len(drawn) / sum(wanted))
    sizes = [max(int(scale * size), LEAST_PEOPLE) for size in wanted]
    rest = len(faces.names) - sum(sizes)
    if rest < LEAST_PEOPLE or sum(sizes) > len(drawn):
        barred = len(faces.names) - len(drawn)
        aside = f", {barred} of them barred from evaluation," if barred else ""
        raise PhotoError(
            f"{len(faces.names)} people{aside} are too few for {len(shares) + 1} parts:"
            f" {max(rest, 0)} would be left to train on",
            "give photos of more people, or set fewer aside",
        )
    borders = np.cumsum([0, *sizes])
    apart = [drawn[a:b] for a, b in pairwise(borders)]
    learning = set(faces.names).difference(*apart)
    return [by_names(faces, names) for names in (learning, *apart)]


def _place(seed: int, name: str) -> bytes:
    # A folder's name need not be UTF-8.
    return sha256(f"{seed} ".encode() + os.fsencode(name)).digest()


def _known(crops: Crops, learned: Collection[str]) -> set[str]:
    """The people on the photos that the encoder learned from."""
    ids = set(learned)
    photos = zip(crops.photos, crops.person, strict=True)
    return {crops.names[person] for photo, person in photos if photo in ids}


def _linked(shares: list[SamePhoto]) -> set[str]:
    """The names that share a photo with another name, and may be the same person."""
    return {str(Path(photo).parent) for pair in shares for photo in (pair.first, pair.second)}


def by_names(faces: Faces, names: Iterable[str]) -> Crops:
    """The photos of the named people, numbered from 0 in the folder's order.

    Raises PhotoError for a name without usable photos.
    """
    wanted = set(names)
    if unknown := wanted - set(faces.names):
        raise PhotoError(
            f"no usable photos of {_some(sorted(unknown))}", "check what was left out, and why"
        )
    return _people(faces.crops, [i for i, name in enumerate(faces.names) if name in wanted])


def told(faces: Faces, min_images: int = MIN_IMAGES) -> list[str]:
    """Lines about what was read and what is not used, one line per reason."""
    left = faces.left_out
    unread, pairs = [*left.unreadable], ([*map(str, left.shared)], [*map(str, left.repeats)])
    few = f"with fewer than {min_images} faces, left out"
    lines = [
        f"{len(faces)} faces of {len(faces.names)} people",
        unread and f"{len(unread)} photos cannot be read: {_some(unread)}",
        left.faceless and f"{len(left.faceless)} photos show no face: {_some(left.faceless)}",
        pairs[0] and f"{len(pairs[0])} photos alike under two names, check: {_some(pairs[0])}",
        pairs[1] and f"{len(pairs[1])} duplicate photos: {_some(pairs[1])}",
        left.few and f"{len(left.few)} people {few}: {_some([*left.few])}",
        left.elsewhere
        and f"{len(left.elsewhere)} files or folders ignored: {_some(left.elsewhere)}",
    ]
    return [str(line) for line in lines if line]


def _with_all_folders(crops: Crops, folder: Path) -> Crops:
    """The crops with more names at the end: those of people without a photo."""
    people = (path.name for path in folder.glob("*") if path.is_dir() and not is_hidden(path))
    return replace(crops, names=[*crops.names, *sorted(set(people) - set(crops.names))])


def _refuse_unreadable(folder: Path, unreadable: dict[str, str], total: int, most: float) -> None:
    if len(unreadable) > most * total:
        raise PhotoError(
            f"{len(unreadable)} of the {total} photos of {folder} cannot be read,"
            f" more than {most:.0%}: {_some([*unreadable])}",
            "copy them again, convert or remove them; the first problem: "
            + next(iter(unreadable.values())),
        )


def _without_twins(crops: Crops, folder: Path) -> tuple[Crops, list[SamePhoto], list[SamePhoto]]:
    """The crops without duplicates, the photos under two names, the duplicates of one person."""
    found = duplicates.find(crops.images, crops.person)
    of_two = [twins for twins in found if crops.person[twins.first] != crops.person[twins.second]]
    clashing = {row for twins in of_two for row in (twins.first, twins.second)}
    again = duplicates.repeats([t for t in found if not clashing & {t.first, t.second}])
    gone = clashing | {twins.second for twins in again}
    kept = np.array([row for row in range(len(crops)) if row not in gone], np.int64)

    def named(twins: Twins) -> SamePhoto:
        first, second = (str(crops.paths[row].relative_to(folder)) for row in twins[:2])
        return SamePhoto(first, second, twins.bits)

    return crops.only(kept), [*map(named, of_two)], [*map(named, again)]


def _without_few(crops: Crops, folder: Path, least: int) -> tuple[Crops, dict[str, int]]:
    """(the crops of people with enough faces, numbered again; the others' numbers of faces)."""
    count = np.bincount(crops.person, minlength=len(crops.names))
    few = {crops.names[i]: int(count[i]) for i in np.flatnonzero(count < least)}
    enough = np.flatnonzero(count >= least)
    if len(enough) < LEAST_PEOPLE:
        raise PhotoError(
            f"{len(enough)} of the {len(count)} people of {folder} have {least} different photos"
            f" with a face, {LEAST_PEOPLE} people are needed; too few photos of {_some([*few])}",
            f"give {least} photos or more of each person: training needs pairs",
        )
    return _people(crops, [int(i) for i in enough]), few


def _people(crops: Crops, numbers: list[int]) -> Crops:
    """The people with these ascending `numbers`, numbered again from 0."""
    kept = crops.only(np.isin(crops.person, numbers))
    return replace(
        kept,
        person=np.searchsorted(numbers, kept.person).astype(np.int64),
        names=[crops.names[i] for i in numbers],
    )


def _some(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
