"""How many templates were made from how many photos, against a naive recount."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.access.photo_counts import PhotoCounts
from ostiary.edge.config import Config
from ostiary.edge.core.rules.access import Rights
from ostiary.edge.core.types import Floats
from ostiary.edge.sections import BundleSection, CameraSection, DeviceSection, StateSection
from tests.support.fakes import curves, unit

DIM = 8
ALICE, BOB = (row[None] for row in unit(np.eye(DIM)[:2]))
FREE = Rights()
NOBODY = {0: 0, 1: 0, 2: 0, 3: 0}
Held = dict[str, tuple[Floats, int]]


def made() -> Enrolled:
    """A door in identify mode where nobody is enrolled."""
    profile = Config(
        device=DeviceSection("hq", "door"), bundle=BundleSection(Path("b")),
        camera=CameraSection("v4l2:"), state=StateSection(Path("s")),
    )  # fmt: skip
    return Enrolled(DIM, curves(), profile)


def naive(held: Held) -> dict[int, int]:
    """The counts from everybody's templates and photos, the slow way."""
    return {
        kind: sum(len(rows) for rows, photos in held.values() if min(photos, 3) == kind)
        for kind in range(4)
    }


def edits(
    rng: np.random.Generator, held: Held
) -> Iterator[tuple[list[tuple[str, Floats | None, Rights, int]], list[str]]]:
    """Random changes without end; `held` is kept as they must leave the gallery."""
    while True:
        put: list[tuple[str, Floats | None, Rights, int]] = []
        gone: list[str] = []
        for number in rng.integers(0, 30, rng.integers(1, 12)):
            name, kind = f"s{number}", rng.random()
            if kind < 0.25:
                gone.append(name)
            elif kind < 0.35:
                put.append((name, None, FREE, int(rng.integers(0, 6))))
            else:
                rows = unit(rng.standard_normal((rng.integers(1, 4), DIM)))
                put.append((name, rows, FREE, int(rng.integers(0, 6))))
        for name, templates, _, photos in put:
            held.pop(name, None)
            if templates is not None:
                held[name] = templates, photos
        for name in gone:
            held.pop(name, None)
        yield put, gone


def test_any_history_is_counted_as_a_naive_recount_would() -> None:
    rng, enrolled, held = np.random.default_rng(13), made(), Held()
    assert enrolled.by_photos == NOBODY
    for number, (put, gone) in enumerate(edits(rng, held)):
        enrolled.change(put, gone)
        assert enrolled.by_photos == naive(held)
        assert sum(enrolled.by_photos.values()) == len(enrolled.gallery)
        if number % 40 == 39:
            held.clear()
            held |= {f"l{n}": (unit(rng.standard_normal((1, DIM))), n % 5) for n in range(9)}
            enrolled.load([(s, rows, photos) for s, (rows, photos) in held.items()])
            assert enrolled.by_photos == naive(held)
            assert min(enrolled.by_photos.values()) > 0
        if number == 199:
            break
    enrolled.load([])
    assert enrolled.by_photos == NOBODY


def test_templates_that_the_gallery_refuses_are_not_counted() -> None:
    enrolled = made()
    enrolled.change([("alice", ALICE, FREE, 1), ("bob", BOB, FREE, 2)], [])
    with pytest.raises(ValueError, match="unit length"):
        enrolled.change([("alice", 2 * ALICE, FREE, 3)], ["bob"])
    assert enrolled.by_photos == {0: 0, 1: 1, 2: 0, 3: 0}
    with pytest.raises(ValueError, match="unit length"):
        enrolled.load([("carol", 2 * ALICE, 2)])
    assert enrolled.by_photos == {0: 0, 1: 1, 2: 0, 3: 0}


def test_three_photos_or_more_are_one_kind_and_nobody_else_can_change_the_counts() -> None:
    counts = PhotoCounts()
    for name, photos in (("a", 3), ("b", 4), ("c", 255)):
        counts.put(name, 2, photos)
    counts.remove("nobody")
    assert counts.by_photos == {0: 0, 1: 0, 2: 0, 3: 6}
    assert isinstance(counts.by_photos, Mapping)
    with pytest.raises(TypeError):
        counts.by_photos[3] = 0  # type: ignore[index]
