"""Kept photos: only if the operator chose so, encrypted, and damaged one file at a time."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from ostiary.edge.core.types import Image
from ostiary.edge.errors import PhotoError
from ostiary.fleet.enrollment.album import KEY, Album
from ostiary.fleet.errors import FleetError
from ostiary.fleet.site.fleet import Fleet
from tests.support.places import ROOT

PORTRAIT = (ROOT / "export" / "assets" / "portrait.jpg").read_bytes()


def png(grey: int) -> bytes:
    return cv2.imencode(".png", np.full((40, 40, 3), grey, np.uint8))[1].tobytes()


def album(fleet: Fleet, keep: bool = True) -> Album:
    return Album(Fleet(fleet.folder, msgspec.structs.replace(fleet.settings, keep_photos=keep)))


def files(fleet: Fleet) -> list[Path]:
    return sorted(p for p in (fleet.folder / "photos").glob("*") if p.is_file())


def test_what_is_kept_comes_back_in_its_order(fleet: Fleet, portrait: Image) -> None:
    assert album(fleet).keep("alice", [("front.jpg", PORTRAIT), ("grey.png", png(9))])
    (first, image), (second, grey) = album(fleet).open("alice")
    assert (first, second) == ("front.jpg", "grey.png")
    np.testing.assert_array_equal(image, portrait)
    assert (grey == 9).all()


def test_paths_are_read(fleet: Fleet, portrait_file: Path) -> None:
    kept = album(fleet)
    kept.keep("alice", [portrait_file])
    assert [name for name, _ in kept.open("alice")] == ["portrait.jpg"]
    with pytest.raises(PhotoError, match=r"none\.jpg"):
        kept.keep("alice", [portrait_file.with_name("none.jpg")])
    assert kept.has("alice")


def test_nothing_is_kept_where_the_operator_did_not_choose_so(fleet: Fleet) -> None:
    assert not album(fleet, keep=False).keep("alice", [("a", PORTRAIT)])
    assert not (fleet.folder / KEY).exists()
    assert files(fleet) == []


def test_older_photos_go_where_none_are_kept_any_more(fleet: Fleet) -> None:
    album(fleet).keep("alice", [("a", PORTRAIT)])
    album(fleet).keep("bob", [("b", PORTRAIT)])
    assert album(fleet, keep=False).open("alice")
    album(fleet, keep=False).keep("alice", [("new", PORTRAIT)])
    assert album(fleet).open("alice") == []
    assert album(fleet).open("bob")


def test_neither_name_nor_photo_nor_how_many_is_readable_on_the_disk(fleet: Fleet) -> None:
    album(fleet).keep("alice", [("alice-front.jpg", PORTRAIT), ("b", PORTRAIT)])
    (file,) = files(fleet)
    assert "alice" not in str(file.relative_to(fleet.folder))
    data = file.read_bytes()
    assert b"alice" not in data
    assert PORTRAIT[:16] not in data
    assert (fleet.folder / "photos").stat().st_mode & 0o777 == 0o700


def test_two_fleets_name_the_same_person_differently(fleet: Fleet, tmp_path: Path) -> None:
    other = Fleet(tmp_path / "other", fleet.settings)
    other.folder.mkdir()
    for one in (fleet, other):
        album(one).keep("alice", [("a", PORTRAIT)])
    assert files(fleet)[0].name != files(other)[0].name
    shutil.copy(files(fleet)[0], files(other)[0])
    with pytest.raises(FleetError, match="with another key"):
        album(other).open("alice")


def test_the_key_is_its_owners_only_and_stays(fleet: Fleet) -> None:
    album(fleet).keep("alice", [("a", PORTRAIT)])
    key = fleet.folder / KEY
    before = key.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    album(fleet).keep("bob", [("b", PORTRAIT)])
    assert key.read_bytes() == before
    assert [p.name for p in fleet.folder.glob(".photos.key*")] == []
    key.chmod(0o644)
    with pytest.raises(FleetError, match="users other than its owner"):
        album(fleet).open("alice")


def test_a_lost_key_is_said_and_no_new_one_takes_its_place(fleet: Fleet) -> None:
    album(fleet).keep("alice", [("a", PORTRAIT)])
    (fleet.folder / KEY).unlink()
    acts: list[Callable[[Album], object]] = [
        lambda a: a.open("alice"), lambda a: a.keep("alice", [("a", PORTRAIT)]),
        lambda a: a.forget("alice"), lambda a: a.has("alice"),
    ]  # fmt: skip
    for act in acts:
        with pytest.raises(FleetError, match=r"photos\.key"):
            act(album(fleet))
    assert not (fleet.folder / KEY).exists()


def test_of_two_operators_at_once_one_makes_the_key(fleet: Fleet) -> None:
    ready = threading.Barrier(8)

    def keep(number: int) -> None:
        ready.wait(10)
        album(fleet).keep(f"p{number}", [("a", png(number))])

    threads = [threading.Thread(target=keep, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for number in range(8):
        assert (album(fleet).open(f"p{number}")[0][1] == number).all()


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "version", "other"])
def test_a_damaged_file_is_one_persons_problem(fleet: Fleet, harm: str) -> None:
    kept = album(fleet)
    kept.keep("alice", [("a", PORTRAIT)])
    (file,) = files(fleet)
    kept.keep("bob", [("b", PORTRAIT)])
    data = bytearray(file.read_bytes())
    if harm == "cut":
        data = data[:-1]
    elif harm == "flip":
        data[len(data) // 2] ^= 1
    elif harm == "empty":
        data = bytearray()
    elif harm == "version":
        data[0] = 2
    else:
        (other,) = [f for f in files(fleet) if f != file]
        data = bytearray(other.read_bytes())
    file.write_bytes(data)
    with pytest.raises(FleetError, match="photos of alice are damaged"):
        kept.open("alice")
    assert kept.has("alice")
    assert len(kept.open("bob")) == 1
    assert kept.forget("alice")


def test_a_photo_that_is_none_is_named_when_it_is_opened(fleet: Fleet) -> None:
    kept = album(fleet)
    kept.keep("alice", [("front.jpg", PORTRAIT[:-9])])
    with pytest.raises(PhotoError, match=r"front\.jpg is cut short"):
        kept.open("alice")


def test_who_is_forgotten_leaves_nothing(fleet: Fleet) -> None:
    kept = album(fleet)
    assert not kept.forget("alice")
    kept.keep("alice", [("a", PORTRAIT)])
    (file,) = files(fleet)
    # A file left by a write that a power cut ended.
    file.with_name(f".{file.name}.1.abcd").write_bytes(file.read_bytes())
    kept.keep("bob", [("b", PORTRAIT)])
    assert kept.forget("alice")
    assert (kept.has("alice"), kept.open("alice")) == (False, [])
    assert len(list((fleet.folder / "photos").iterdir())) == 1
    assert kept.open("bob")


def test_a_write_that_fails_leaves_the_old_photos(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = album(fleet)
    kept.keep("alice", [("old", PORTRAIT)])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("ostiary.edge.files.os.fsync", full)
        with pytest.raises(FleetError, match="No space left"):
            kept.keep("alice", [("new", PORTRAIT)])
    assert kept.open("alice")[0][0] == "old"
    assert len(list((fleet.folder / "photos").iterdir())) == 1


@pytest.mark.parametrize("subject", ["../alice", "Alice", ""])
def test_an_id_that_is_none_is_refused(fleet: Fleet, subject: str) -> None:
    with pytest.raises(FleetError, match="not a subject id"):
        album(fleet).keep(subject, [("a", PORTRAIT)])


def test_more_than_is_sensible_is_refused(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ostiary.fleet.enrollment.album.MAX_BYTES", len(PORTRAIT))
    with pytest.raises(FleetError, match="give fewer"):
        album(fleet).keep("alice", [("a", PORTRAIT), ("b", b"1")])
