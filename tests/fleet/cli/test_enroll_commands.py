"""Enrolling as an operator types it: real photos, and every slip an error that harms nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces import geometry
from ostiary.edge.core.types import Image
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.desk import Desk, init, typed
from tests.support.places import write_png


def test_a_person_is_enrolled_changed_suspended_revoked_and_erased(
    desk: Desk, photos: Path
) -> None:
    said = desk.quiet(
        "enroll", "alice", photos / "one.png", "--name", "Alice", "--groups", "staff",
        "--until", "2090-12-31", "--schedule", "mon-fri 08:00-18:00",
    )  # fmt: skip
    assert (said["revision"], said["published"], said["look_alike"]) == (1, False, None)
    assert desk.quiet("enroll", "alice", photos / "one.png")["revision"] == 1
    assert desk.quiet("change", "alice", "--groups", "cleaners", "--until", "")["revision"] == 2
    shown = desk.run("show", "alice")
    assert (shown["name"], shown["groups"], shown["valid_until"]) == ("Alice", ["cleaners"], None)
    assert (shown["state"], shown["schedule"]) == ("active", "mon-fri 08:00-18:00")
    assert desk.quiet("suspend", "alice")["revision"] == 3
    assert desk.run("show", "alice")["state"] == "suspended"
    assert desk.quiet("resume", "alice")["revision"] == 4
    assert desk.quiet("revoke", "alice")["revision"] == 5
    assert desk.run("show", "alice")["state"] == "revoked"
    assert "--again" in desk.refused("enroll", "alice", photos / "one.png")
    assert "--again" in desk.refused("suspend", "alice")
    assert desk.quiet("enroll", "alice", photos / "one.png", "--again")["revision"] == 6
    assert desk.quiet("erase", "alice", "--yes") == {
        "sequence": 7, "published": False, "waiting_for": [],
    }  # fmt: skip
    assert desk.run("list") == []
    assert "not enrolled" in desk.refused("show", "alice")


def test_a_photo_upside_down_is_turned_and_the_operator_told(
    desk: Desk, photos: Path, tmp_path: Path
) -> None:
    turned = write_png(tmp_path / "down.png", geometry.turned(read_photo(photos / "one.png"), 180))
    said = desk.quiet("enroll", "alice", turned)
    assert said["notes"] == [f"{turned}: turned by 180 degrees, so that the face is upright"]
    # The same template as the upright photo's: nothing changes.
    assert desk.quiet("enroll", "alice", photos / "one.png")["revision"] == said["revision"]


def test_nothing_that_is_printed_or_listed_holds_a_template(desk: Desk, photos: Path) -> None:
    desk.quiet("enroll", "alice", photos / "one.png")
    with Fleet.open(desk.folder) as fleet:
        ((_, template),) = fleet.registry().people.templates(fleet.bundle().encoder_id)
    for command in (("list",), ("show", "alice")):
        for options in ((), ("--json",)):
            done = typed(*command, *options, "--fleet", desk.folder)
            assert "alice" in done.out
            assert f"{template[0, 0]:.3f}"[1:] not in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("bob", "none.png"), "no face was found"),
        (("bob", "two.png"), "2 faces were found"),
        (("bob", "blurred.png"), "blurred"),
        (("bob", "gone.png"), "No such file"),
        (("bob", "text.jpg"), "not a picture"),
        (("Bob", "one.png"), "'Bob' is not a subject id"),
        (("bob", "one.png", "--groups", "stfaf"), "unknown group 'stfaf'; known: cleaners, staff"),
        (("bob", "one.png", "--until", "2020-01-01"), "in the past"),
        (("bob", "one.png", "--from", "2020-01-01"), "in the past"),
        (("bob", "one.png", "--from", "2090-02-01", "--until", "2090-01-01"), "but only until"),
        (("bob", "one.png", "--schedule", "always"), "does not name days and times"),
        (("bob",), "who is to be enrolled?"),
        ((), "who is to be enrolled?"),
        (("bob", "one.png", "--csv", "t.csv"), "--csv already names the people"),
        (("--csv", "t.csv", "--groups", "staff"), "--csv already names the people"),
        (("--csv", "gone.csv"), "cannot read"),
    ],
)
def test_what_can_not_be_enrolled_is_named(
    desk: Desk, photos: Path, arguments: tuple[str, ...], said: str
) -> None:
    files = (".png", ".jpg", ".csv")
    given = [photos / part if part.endswith(files) else part for part in arguments]
    assert said in desk.refused("enroll", *given, "--no-publish")


def test_the_same_face_under_another_id_is_named(desk: Desk, photos: Path) -> None:
    desk.quiet("enroll", "alice", photos / "one.png")
    said = desk.refused("enroll", "bob", photos / "one.png", "--no-publish")
    assert "same person who is enrolled as alice (score 1.000)" in said
    assert "(to enroll bob anyway: --force-look-alike)" in said
    forced = desk.quiet("enroll", "bob", photos / "one.png", "--force-look-alike")
    assert isinstance(forced["look_alike"], dict)
    assert forced["look_alike"]["subject"] == "alice"


def test_a_table_takes_the_good_lines_and_reports_the_others(
    desk: Desk, photos: Path, tmp_path: Path
) -> None:
    people = photos / "people.csv"
    people.write_text(
        "subject,photo,name,groups,until\n"
        "alice,one.png;one.png,Alice,staff,2090-12-31\n"
        "bob,none.png,,,\n"
        "carol,two.png,,,\n"
        "dave,gone.png,,,\n"
        "erin,one.png,,stfaf,\n"
        "frank,one.png,,,2020-01-01\n"
        "gina,one.png,,,\n"
    )
    report = tmp_path / "report.csv"
    said = desk.quiet("enroll", "--csv", people, "--report", report, code=1)
    assert said["enrolled"] == 1
    with report.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["line"], row["subject"], row["reason"]) for row in rows] == [
        ("3", "bob", "no-face"),
        ("4", "carol", "two-faces"),
        ("5", "dave", "bad-photo"),
        ("6", "erin", "bad-row"),
        ("7", "frank", "bad-row"),
        ("8", "gina", "duplicate"),
    ]
    assert "enrolled as alice" in rows[-1]["message"]
    assert rows[-1]["message"].endswith("(to enroll gina anyway: --force-look-alike)")
    assert desk.subjects() == {"alice"}
    shown = desk.run("show", "alice")
    assert (shown["name"], shown["groups"]) == ("Alice", ["staff"])


def test_a_face_that_was_taken_of_several_is_said(
    desk: Desk, photos: Path, portrait: Image
) -> None:
    group, small = portrait.copy(), np.ascontiguousarray(portrait[::3, ::3])
    group[-small.shape[0] :, -small.shape[1] :] = small
    photo = write_png(photos / "group.png", group)
    done = typed("enroll", "gwen", photo, "--no-publish", "--fleet", desk.folder)
    assert "enrolled gwen" in done.out
    assert "group.png: of 2 faces the large one in the middle was taken" in " ".join(
        done.err.split()
    )


def test_the_exit_code_of_a_table_says_how_much_of_it_was_done(desk: Desk, photos: Path) -> None:
    people = photos / "codes.csv"
    people.write_text("subject,photo\nalice,one.png\n")
    assert desk.quiet("enroll", "--csv", people)["refused"] == []
    people.write_text("subject,photo\nbob,none.png\n")
    assert desk.quiet("enroll", "--csv", people, code=2)["enrolled"] == 0
    people.write_text("subject,photo\n")
    assert desk.quiet("enroll", "--csv", people) == {
        "enrolled": 0, "one_photo": 0, "refused": [], "look_alikes": [], "published": False,
        "not_compared": 0, "templates_dropped": 0, "photos_not_kept": [], "notes": [],
    }  # fmt: skip
    people.write_text("subject,foto\nbob,one.png\n")
    assert "unknown column 'foto'" in desk.refused("enroll", "--csv", people)


def test_what_can_not_be_published_is_kept_and_said(desk: Desk, photos: Path) -> None:
    done = typed("enroll", "alice", photos / "one.png", "--fleet", desk.folder, "--json")
    assert done.code == 1
    assert json.loads(done.out)["published"] is False
    assert "not published yet" in done.err
    assert "ostiary-fleet publish" in done.err
    assert desk.run("show", "alice")["published"] is False
    assert desk.run("revoke", "alice", code=1)["revision"] == 2


def test_photos_are_kept_only_where_the_operator_chose_so(
    tmp_path: Path, bundle_dir: Path, photos: Path, desk: Desk
) -> None:
    keeping = init(tmp_path / "keeping", bundle_dir, "--keep-photos")
    for one, kept in ((desk, False), (keeping, True)):
        one.quiet("enroll", "alice", photos / "one.png")
        assert one.run("show", "alice")["photos_kept"] is kept
    keeping.quiet("revoke", "alice")
    with Fleet.open(keeping.folder) as fleet:
        assert not Album(fleet).has("alice")
    keeping.quiet("enroll", "alice", photos / "one.png", "--again")
    keeping.quiet("erase", "alice", "--yes")
    with Fleet.open(keeping.folder) as fleet:
        assert not Album(fleet).has("alice")
