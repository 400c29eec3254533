"""Faults beside a change are reported, and the change is still made and published."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.core.types import Template
from ostiary.edge.errors import StoreError
from ostiary.fleet.desk.delivery import Notice, publish_change
from ostiary.fleet.enrollment.admit import Ready
from ostiary.fleet.enrollment.album import KEY, Album
from ostiary.fleet.enrollment.csv_table import Request
from ostiary.fleet.registry.database import RegistryDatabase
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.admitting import ENCODER, axis, enrolling, ready
from tests.support.fleet.desk import Desk, init, typed

OTHER = "f" * 64


@pytest.fixture
def keeping(tmp_path: Path, bundle_dir: Path, photos: Path) -> Desk:
    """A fleet that keeps photos, with alice enrolled."""
    desk = init(tmp_path / "keeping", bundle_dir, "--keep-photos")
    desk.quiet("enroll", "alice", photos / "one.png")
    return desk


@pytest.fixture
def album(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet that keeps photos, without a bundle."""
    with Fleet(fleet.folder, msgspec.structs.replace(fleet.settings, keep_photos=True)) as kept:
        yield kept


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sequences that were published, at a broker that takes everything."""
    told: list[int] = []

    def take(fleet: Fleet) -> None:
        told.append(fleet.registry().roster.sequence)
        fleet.registry().set_published(told[-1])

    monkeypatch.setattr("ostiary.fleet.publishing.publish.publish_changes", take)
    return told


def test_a_revocation_is_published_where_photos_can_not_be_removed(
    keeping: Desk, published: list[int]
) -> None:
    (keeping.folder / KEY).chmod(0o644)
    done = typed("revoke", "alice", "--fleet", keeping.folder)
    assert (done.code, published) == (1, [2])
    assert "revoked alice" in done.out
    assert "photos of alice are still kept" in done.err
    assert "users other than its owner" in done.err
    (keeping.folder / KEY).chmod(0o600)
    again = typed("revoke", "alice", "--fleet", keeping.folder)
    assert (again.code, again.err) == (0, "")
    assert keeping.run("show", "alice")["photos_kept"] is False


def test_a_revocation_that_is_interrupted_still_forgets_the_photos(
    keeping: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(fleet: Fleet) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ostiary.fleet.publishing.publish.publish_changes", interrupt)
    done = typed("revoke", "alice", "--fleet", keeping.folder)
    assert done.code != 0
    assert "not published yet: interrupted" in done.err
    assert "ostiary-fleet publish" in done.err
    assert keeping.run("show", "alice")["photos_kept"] is False
    notices: list[Notice] = []
    with Fleet.open(keeping.folder) as fleet, pytest.raises(KeyboardInterrupt):
        publish_change(fleet, notices.append, interrupt)
    assert [notice.problem for notice in notices] == ["interrupted"]


def test_who_is_shown_needs_no_key_of_the_photos(keeping: Desk) -> None:
    (keeping.folder / KEY).unlink()
    done = typed("show", "alice", "--fleet", keeping.folder)
    assert done.code == 0
    assert "photos kept  unknown" in done.out
    assert "cannot read the key" in done.err
    assert keeping.run("show", "alice")["photos_kept"] is None


@pytest.mark.parametrize("harm", ["key", "folder"])
def test_where_no_photo_could_be_kept_nobody_is_enrolled(
    keeping: Desk, photos: Path, harm: str
) -> None:
    if harm == "key":
        (keeping.folder / KEY).chmod(0o644)
    else:
        (keeping.folder / "photos").rename(keeping.folder / "away")
        (keeping.folder / "photos").touch()
    table = photos / "slips.csv"
    table.write_text("subject,photo\nbob,none.png\n")
    for given in (("bob", photos / "none.png"), ("--csv", table)):
        # Refused before any photo is looked at: this photo has no face.
        said = keeping.refused("enroll", *given)
        assert ("users other than its owner" if harm == "key" else "File exists") in said


def test_photos_that_fail_at_the_end_are_a_warning_and_it_is_published(
    keeping: Desk, photos: Path, published: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ostiary.fleet.enrollment.album.write_atomically", full)
    options = ("--again", "--force-look-alike", "--fleet", keeping.folder)
    done = typed("enroll", "bob", photos / "one.png", *options)
    assert (done.code, published) == (1, [2])
    assert "enrolled bob" in done.out
    assert "photos not kept: of bob: cannot use" in done.err
    table = photos / "slips.csv"
    table.write_text("subject,photo\ncarol,one.png\n")
    done = typed("enroll", "--csv", table, *options)
    assert (done.code, published) == (1, [2, 3])
    assert "photos not kept: of carol" in done.err


def test_a_report_is_looked_at_before_the_work_and_written_after_publishing(
    desk: Desk, photos: Path, published: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = photos / "slips.csv"
    table.write_text("subject,photo\nalice,one.png\n")
    for wrong in (photos / "no" / "r.csv", photos):
        said = desk.refused("enroll", "--csv", table, "--report", wrong)
        assert "cannot write the report" in said

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ostiary.fleet.cli.people.write_atomically", full)
    report = ("--report", photos / "r.csv", "--fleet", desk.folder)
    done = typed("enroll", "--csv", table, *report)
    assert (done.code, published) == (1, [1])
    assert "enrolled 1, refused 0" in done.out
    assert "no report: " in done.err


def someone(subject: str, number: int, photo: Path) -> Ready:
    return Ready(Request(subject, (photo,)), Template(subject, ENCODER, axis(number), 1))


@pytest.mark.parametrize("end", ["erase", "revoke"])
def test_no_photo_outlives_who_is_erased_while_it_is_kept(
    album: Fleet, portrait_file: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    keep = Album.keep

    def slow(self: Album, subject: str, given: tuple[Path, ...]) -> bool:
        if subject == "bob":
            rival = Registry(album.folder / "registry.db", who="rival")
            getattr(rival, end)("bob", 200.0)
            rival.close()
        return keep(self, subject, given)

    monkeypatch.setattr(Album, "keep", slow)
    outcome = enrolling(album).admit([someone(s, n, portrait_file) for n, s in ENROLLED])
    assert (len(outcome.enrolled), outcome.not_kept) == (2, {})
    assert [Album(album).has(s) for _, s in ENROLLED] == [True, False]


ENROLLED = [(0, "alice"), (1, "bob")]


def test_a_change_of_rights_meanwhile_takes_no_photo(
    album: Fleet, portrait_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Album.keep

    def slow(self: Album, subject: str, given: tuple[Path, ...]) -> bool:
        album.registry().suspend(subject, 200.0)
        return keep(self, subject, given)

    monkeypatch.setattr(Album, "keep", slow)
    enrolling(album).admit([someone("alice", 0, portrait_file)])
    assert Album(album).has("alice")


def test_an_erasure_looks_for_photos_once_more(
    keeping: Desk, portrait_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody enrolls just before the erasure and keeps the photo just after it began."""
    erase = Registry.erase

    def slow(self: Registry, subject: str, now_s: float) -> int:
        sequence = erase(self, subject, now_s)
        with Fleet.open(keeping.folder) as fleet:
            Album(fleet).keep(subject, [portrait_file])
        return sequence

    monkeypatch.setattr(Registry, "erase", slow)
    keeping.quiet("erase", "alice", "--yes")
    with Fleet.open(keeping.folder) as fleet:
        assert not Album(fleet).has("alice")
        Album(fleet).keep("alice", [portrait_file])
    said = keeping.refused("erase", "alice", "--yes", "--no-publish")
    assert "photos that were left are removed now" in said
    with Fleet.open(keeping.folder) as fleet:
        assert not Album(fleet).has("alice")


def test_an_erasure_on_a_full_disk_is_told_and_wiped_later(
    keeping: Desk, published: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = RegistryDatabase.execute

    def full(self: RegistryDatabase, statement: str, *values: object) -> None:
        if statement == "VACUUM":
            raise StoreError("registry.db: database or disk is full")
        execute(self, statement, *values)

    monkeypatch.setattr(RegistryDatabase, "execute", full)
    done = typed("erase", "alice", "--yes", "--timeout", "0", "--fleet", keeping.folder)
    assert published == [2]
    assert "not wiped yet: copies may be left in registry.db" in done.err
    assert keeping.subjects() == set()


def test_an_erasure_beside_a_reader_is_not_wiped_and_knows_it(registry: Registry) -> None:
    for subject in ("alice", "bob"):
        registry.put(Person(subject=subject), {ENCODER: Fused(axis(0))}, 1.0)
    reader = sqlite3.connect(registry.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM person").fetchall()
    registry.erase("alice", 2.0)
    assert not registry.wiped
    reader.close()
    registry.erase("bob", 3.0)
    assert registry.wiped


def test_who_has_templates_of_another_encoder_is_counted(fleet: Fleet) -> None:
    registry = fleet.registry()
    for subject in ("alice", "bob", "dave"):
        registry.put(Person(subject=subject), {OTHER: Fused(axis(0))}, 1.0)
    registry.put(Person(subject="carol"), {ENCODER: Fused(axis(1)), OTHER: Fused(axis(1))}, 1.0)
    registry.revoke("dave", 2.0)
    outcome = enrolling(fleet).admit([ready("alice", axis(2)), ready("carol", axis(1))])
    assert outcome.not_compared == 1
    assert [one.dropped for one in outcome.enrolled] == [1, 1]
    (again,) = enrolling(fleet).admit([ready("carol", axis(3))]).enrolled
    assert again.dropped == 0


def test_a_change_of_encoder_is_said_where_somebody_is_enrolled(desk: Desk, photos: Path) -> None:
    registry = Registry(desk.folder / "registry.db")
    for number, subject in enumerate(("alice", "bob")):
        registry.put(Person(subject=subject), {OTHER: Fused(axis(number))}, 1.0)
    registry.close()
    options = ("--no-publish", "--fleet", desk.folder)
    done = typed("enroll", "alice", photos / "one.png", *options)
    assert done.code == 0
    assert "not compared: 1 people have no template of this bundle's encoder" in done.err
    assert "dropped: the templates of other encoders of alice" in done.err
    table = photos / "slips.csv"
    table.write_text("subject,photo\nbob,one.png\n")
    said = desk.quiet("enroll", "--csv", table, "--force-look-alike")
    assert (said["not_compared"], said["templates_dropped"]) == (0, 1)
