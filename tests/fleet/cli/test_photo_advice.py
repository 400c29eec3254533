"""What an operator is told about people with one photo, and how a consent to learning is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ostiary.edge.vision.enrollment import SECOND_PHOTO
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.desk import Desk, typed


def photos_of(shown: Any) -> list[int]:
    """The numbers of photos in what `list` or `show` says about a person."""
    return list(shown["photos"].values())


def test_whoever_enrolls_from_one_photo_is_asked_for_a_second(desk: Desk, photos: Path) -> None:
    folder = ("--no-publish", "--fleet", desk.folder)
    one = typed("enroll", "alice", photos / "one.png", *folder)
    assert one.code == 0
    assert SECOND_PHOTO in one.err
    assert "(enroll alice again, from both photos)" in one.err
    assert one.err.count("\n") == 1
    assert photos_of(desk.run("show", "alice")) == [1]
    two = typed("enroll", "alice", photos / "one.png", photos / "one.png", *folder)
    assert (two.code, two.err) == (0, "")
    assert photos_of(desk.run("show", "alice")) == [2]
    assert desk.quiet("enroll", "alice", *[photos / "one.png"] * 3)["photos"] == 3


def test_a_table_sums_up_who_has_one_photo(desk: Desk, photos: Path) -> None:
    people = photos / "some.csv"
    people.write_text("subject,photo\nalice,one.png\nbob,one.png; one.png\ncarol,one.png\n")
    given = ("enroll", "--csv", people, "--force-look-alike", "--no-publish")
    told = typed(*given, "--fleet", desk.folder)
    assert told.code == 0
    assert f"2 of 3 people were enrolled from one photo; {SECOND_PHOTO}" in told.err
    assert "with ; between them" in told.err
    assert desk.run(*given)["one_photo"] == 2
    people.write_text("subject,photo\nbob,one.png;one.png\n")
    assert "one photo" not in typed(*given, "--fleet", desk.folder).err


def test_the_list_names_who_has_one_photo_only(desk: Desk, photos: Path) -> None:
    empty = typed("list", "--one-photo", "--fleet", desk.folder)
    assert empty.out == "nobody has a template of a single photo\n"
    for subject, number in (("alice", 1), ("bob", 2), ("carol", 1), ("dave", 1)):
        given = [photos / "one.png"] * number
        groups = ("--groups", "staff") if subject in ("alice", "bob") else ()
        desk.quiet("enroll", subject, *given, "--force-look-alike", *groups)
    desk.quiet("revoke", "dave")
    assert [p["subject"] for p in desk.run("list", "--one-photo")] == ["alice", "carol"]
    assert [p["subject"] for p in desk.run("list", "--one-photo", "--group", "staff")] == ["alice"]
    assert [photos_of(p) for p in desk.run("list")] == [[1], [2], [1], []]
    listed = typed("list", "--fleet", desk.folder).out.splitlines()
    cells = [[cell.strip() for cell in row.split("│")[1:5]] for row in listed if "│" in row]
    assert cells == [
        ["alice", "", "active", "1"],
        ["bob", "", "active", "2"],
        ["carol", "", "active", "1"],
        ["dave", "", "revoked", ""],
    ]
    shown = typed("show", "bob", "--fleet", desk.folder).out
    assert "photos       2\n" in shown
    assert "photos kept  no\n" in shown


def test_photos_of_a_template_from_before_they_were_counted_are_unknown(
    desk: Desk, photos: Path
) -> None:
    desk.quiet("enroll", "alice", photos / "one.png")
    with Fleet.open(desk.folder) as fleet:
        fleet.registry()._database.execute("UPDATE template SET photos = 0")
    assert photos_of(desk.run("show", "alice")) == []
    assert "photos       ?\n" in typed("show", "alice", "--fleet", desk.folder).out
    assert desk.run("list", "--one-photo") == []


def learns(desk: Desk) -> object:
    return desk.run("show", "alice")["learns"]


def test_consent_is_given_and_withdrawn_by_whoever_types_it(desk: Desk, photos: Path) -> None:
    desk.quiet("enroll", "alice", photos / "one.png")
    assert learns(desk) is False
    assert desk.quiet("change", "alice", "--learns")["revision"] == 2
    assert learns(desk) is True
    assert "learns       yes\n" in typed("show", "alice", "--fleet", desk.folder).out
    desk.quiet("enroll", "alice", photos / "one.png", photos / "one.png")
    assert learns(desk) is True, "enrolling anew keeps what is not named"
    desk.quiet("change", "alice", "--no-learns")
    assert learns(desk) is False
    desk.quiet("enroll", "alice", photos / "one.png", "--learns")
    assert learns(desk) is True
    trail = [entry["what"] for entry in desk.run("show", "alice")["trail"]]
    assert [what for what in trail if "consent" in what] == [
        "consent to learning recorded",
        "consent to learning withdrawn",
        "consent to learning recorded",
    ]


@pytest.mark.parametrize(("cell", "wanted"), [("yes", True), ("No", False), ("", True)])
def test_a_table_may_state_consent(desk: Desk, photos: Path, cell: str, wanted: bool) -> None:
    desk.quiet("enroll", "alice", photos / "one.png", "--learns")
    people = photos / f"consent{cell}.csv"
    people.write_text(f"subject,photo,learns\nalice,one.png,{cell}\n")
    desk.quiet("enroll", "--csv", people)
    assert learns(desk) is wanted
    again = ("--csv", people, "--learns")
    assert "--csv already names the people" in desk.refused("enroll", *again)
