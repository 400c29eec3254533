"""A CSV of people: each line taken or refused by itself; a broken file refused as a whole."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from ostiary.fleet.enrollment.csv_table import RefusedRequest, Request, read_table, write_report
from ostiary.fleet.errors import FleetError

NOW_S = 1_795_000_000.0
GROUPS = ("staff", "cleaners")


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "people.csv"
    path.write_bytes(text.encode())
    return path


def read(tmp_path: Path, text: str) -> tuple[list[Request], list[RefusedRequest]]:
    return read_table(table(tmp_path, text), GROUPS, NOW_S)


def test_a_line_is_a_person_with_photos_beside_the_file(tmp_path: Path) -> None:
    requests, refused = read(
        tmp_path,
        "subject,photo,name,groups,from,until,schedule,learns\n"
        'alice,a.jpg; /b/c.jpg,Alice Müller,"staff,cleaners",2030-01-01,2030-12-31,'
        '"mon-fri 08:00-18:00, sat 09:00-12:00",yes\n',
    )
    assert refused == []
    (alice,) = requests
    assert (alice.subject, alice.line) == ("alice", 2)
    assert alice.photos == (tmp_path / "a.jpg", Path("/b/c.jpg"))
    assert (alice.wish.name, alice.wish.groups) == ("Alice Müller", GROUPS)
    assert alice.wish.valid_from is not None
    assert alice.wish.valid_until is not None
    assert alice.wish.schedule is not None
    assert len(alice.wish.schedule) == 2
    assert alice.wish.learns is True


def test_an_empty_cell_leaves_what_somebody_was_given(tmp_path: Path) -> None:
    requests, _ = read(tmp_path, "photo,until,subject,groups,name,learns\na.jpg,,alice,,,\n")
    wish = requests[0].wish
    assert (wish.groups, wish.valid_until, wish.name, wish.learns) == (None, None, None, None)


def test_consent_is_yes_or_no(tmp_path: Path) -> None:
    text = "subject,photo,learns\na,a.jpg,YES\nb,b.jpg, no \nc,c.jpg,maybe\nd,d.jpg,\n"
    requests, (refusal,) = read(tmp_path, text)
    assert [(r.subject, r.wish.learns) for r in requests] == [
        ("a", True),
        ("b", False),
        ("d", None),
    ]
    assert (refusal.line, refusal.message) == (4, "learns: 'maybe' is neither yes nor no")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Bad Id,x.jpg,,", "'Bad Id' is not a subject id"),
        ("bob,,,", "no photo is given"),
        ("bob,;,,", "no photo is given"),
        ("bob,x.jpg,stfaf,", "unknown group 'stfaf'; known: cleaners, staff"),
        ("bob,x.jpg,,2020-01-01", "valid until 2020-01-01: that is in the past"),
        ("bob,x.jpg,,tomorrow", "'tomorrow' is not a date"),
        ("bob,x.jpg", "2 cells, but the header has 4"),
        ("bob,x.jpg,,,,", "6 cells, but the header has 4"),
        ("alice,y.jpg,,", "alice is on line 2 already"),
    ],
)
def test_a_broken_line_is_refused_and_the_others_are_taken(
    tmp_path: Path, line: str, said: str
) -> None:
    text = f"subject,photo,groups,until\nalice,a.jpg,,\n\n{line}\ncarol,c.jpg,staff,\n"
    requests, refused = read(tmp_path, text)
    assert [(r.subject, r.line) for r in requests] == [("alice", 2), ("carol", 5)]
    (refusal,) = refused
    assert (refusal.line, refusal.reason) == (4, "bad-row")
    assert said in refusal.message


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_a_report_is_a_formula(start: str) -> None:
    cell = f"{start}HYPERLINK(0)"
    raw = write_report(
        [RefusedRequest(cell, "bad-row", cell, "x", 2), RefusedRequest("bob", "no-face", "m")]
    )
    wrong, good = list(csv.reader(io.StringIO(raw.decode(), newline="")))[1:]
    assert wrong == ["2", f"'{cell}", "bad-row", f"'{cell} (x)"]
    assert good == ["0", "bob", "no-face", "m"]


def test_a_report_names_a_photo_whose_name_is_no_text() -> None:
    assert b"\\udcff.jpg is empty" in write_report(
        [RefusedRequest("bob", "r", "\udcff.jpg is empty")]
    )


def test_a_cell_over_two_lines_counts_from_its_first(tmp_path: Path) -> None:
    _, refused = read(tmp_path, 'subject,photo\n"al\nice",a.jpg\nBOB,b.jpg\n')
    assert [r.line for r in refused] == [2, 4]


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    requests, refused = read(tmp_path, "\ufeffSubject, Photo\r\nalice,a.jpg\r\n,\r\n")
    assert ([r.subject for r in requests], refused) == (["alice"], [])


def test_blanks_and_empty_columns_at_the_end_of_lines_do_not_matter(tmp_path: Path) -> None:
    header, people = "\ufeffsubject,photo ,name,, \n", "alice,a.jpg ,Alice \t,,\nbob,b.jpg,,,\t\n"
    text = f"{header}{people}carol,c.jpg,x,,y\n \n"
    requests, refused = read(tmp_path, text)
    assert [(r.subject, r.photos) for r in requests] == [
        ("alice", (tmp_path / "a.jpg",)),
        ("bob", (tmp_path / "b.jpg",)),
    ]
    assert [r.message for r in refused] == ["5 cells, but the header has 3"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("subject\nalice\n", "there is no column 'photo'"),
        ("photo,name\na,b\n", "there is no column 'subject'"),
        ("subject,photo,nmae\n", "unknown column 'nmae'"),
        ("subject,photo,photo\n", "a column is there twice"),
        ("subject;photo\nalice;a.jpg\n", "separated by semicolons"),
        ('subject,photo\n"alice,a.jpg\n', "people.csv, line 2"),
        ('subject,photo\n"a"b,a.jpg\n', "people.csv, line 2"),
    ],
)
def test_a_broken_file_is_refused_as_a_whole(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FleetError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_there_or_not_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match="cannot read"):
        read_table(tmp_path / "none.csv", GROUPS, NOW_S)
    (tmp_path / "latin.csv").write_bytes("subject,photo\nmüller,a.jpg\n".encode("latin-1"))
    with pytest.raises(FleetError, match="is not UTF-8"):
        read_table(tmp_path / "latin.csv", GROUPS, NOW_S)


def test_the_report_is_a_table_itself() -> None:
    refused = [RefusedRequest("bob", "no-face", 'b, "x".jpg: no face', "another", 3)]
    rows = list(csv.reader(io.StringIO(write_report(refused).decode())))
    assert rows == [
        ["line", "subject", "reason", "message"],
        ["3", "bob", "no-face", 'b, "x".jpg: no face (another)'],
    ]
