"""Groups of people: read from CSV, and the worst of them found by its false matches."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ostiary.edge.errors import ConfigError
from ostiary.export.faces import curves, kinds
from ostiary.export.faces.crops import Crops
from ostiary.export.faces.groups import GroupFile, Groups, read_groups
from ostiary.export.faces.kinds import People
from ostiary.export.faces.pairs import TAIL_FMR
from ostiary.export.faces.rates import group_rows
from tests.support.export.made_up import crops
from tests.support.export.made_up_people import people

QUIET = lambda *a: None  # noqa: E731
PHOTOS = ["ann/1.jpg", "ann/2.jpg", "bob/bob_1.png", "bob/2.jpg", "cat/1.jpg"]


def faces() -> Crops:
    made = crops(people=3, images=2).only(np.arange(5))
    names = ["ann", "bob", "cat"]
    return dataclasses.replace(made, names=names, paths=[Path("lfw") / p for p in PHOTOS])


def read(tmp_path: Path, text: str | bytes, **how: object) -> Groups:
    path = tmp_path / "g.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_groups(GroupFile(path, **how), faces())  # type: ignore[arg-type]


def test_a_row_names_a_person(tmp_path: Path) -> None:
    found = read(tmp_path, "person,group\nann,women\nbob , men\n\n,\nzoe,women\n")
    assert found.of.tolist() == ["women", "women", "men", "men", ""]
    assert found.names == ["men", "women"]
    assert found.labels == "g.csv"
    assert found.only(np.array([True, False, False, True, True])).of.tolist() == [
        "women",
        "men",
        "",
    ]


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("ann/1.jpg", ["a", "", "", "", ""]),
        ("cat/1.jpg", ["", "", "", "", "a"]),
        ("1.jpg", ["a", "", "", "", "a"]),
        ("bob_1", ["", "", "a", "", ""]),
        ("2", ["", "a", "", "a", ""]),
    ],
)
def test_a_row_names_a_photo_by_its_path_its_file_or_its_stem(
    tmp_path: Path, name: str, of: list[str]
) -> None:
    assert read(tmp_path, f"Photo, Group\n{name},a\n").of.tolist() == of


def test_a_spreadsheets_mark_and_line_ends_are_read(tmp_path: Path) -> None:
    marked = b'\xef\xbb\xbfperson,group\r\nann,"a, b"\r\n'
    assert read(tmp_path, marked).of.tolist() == ["a, b", "a, b", "", "", ""]
    wide = b"\xef\xbb\xbfperson ,group,,\r\nann , old \t,,\r\n,,,\r\n"
    assert read(tmp_path, wide).of.tolist() == ["old", "old", "", "", ""]


def test_it_is_said_who_assigned_them(tmp_path: Path) -> None:
    text = "person,group\nann,women\n"
    assert read(tmp_path, text, labels="by hand").labels == "by hand"
    estimated = read(tmp_path, text, labels="a net", estimated=True)
    assert estimated.labels == "estimated by a model: a net"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: nothing"),
        ("name,group\nann,a\n", "line 1: name,group"),
        ("person,group\nann,a\nbob\n", "line 3: expected two cells"),
        ("person,group\nann,\n", "line 2: expected two cells"),
        ("person,group\nann,a,b\n", "line 2: expected two cells"),
        ("person,group\nann,a\nbob,b\nann,b\n", "line 4: ann is in a already"),
        ("person,group\nzoe,a\n", "names none of the 5 photos"),
        (b"person,group\nann,\xe9\n", "not a CSV file in UTF-8"),
        ('person,group\nann,"a\n', "not a CSV file in UTF-8"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read(tmp_path, text)
    assert "g.csv" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = GroupFile(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match=r"cannot read .*none\.csv"):
        read_groups(missing, faces())
    with pytest.raises(ConfigError, match=r"cannot read .*none\.csv"):
        missing.text()


def test_a_change_of_the_file_or_of_its_description_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "g.csv"
    path.write_text("person,group\nann,a\n")
    given = GroupFile(path)
    before = given.text()
    others = [dataclasses.replace(given, estimated=True), dataclasses.replace(given, labels="x")]
    assert len({before, *(other.text() for other in others)}) == 3
    path.write_text("person,group\nann,b\n")
    assert given.text() != before


def three() -> tuple[People, Groups]:
    """80 people who are alike, 110 who are not, and 20 twins of whom there are too few."""
    parts = [
        people(80, 4, 1, alike=0.6),
        people(110, 4, 2),
        people(20, 4, 3, alike=3.0),
    ]
    of = np.repeat(["alike", "unlike", "few"], [320, 440, 80])
    rows = np.vstack([part.templates for part in parts])
    return People(rows, rows, np.arange(210).repeat(4)), Groups(of, "made up")


def test_the_worst_group_has_the_most_false_matches_at_everybodys_tau() -> None:
    whole, groups = three()
    found = curves.worst_group(whole, groups)
    assert found is not None
    assert (found.name, found.people, found.images) == ("alike", 80, 320)
    assert (found.labels, found.groups) == ("made up", ["alike", "unlike"])
    few = groups.of == "few"
    assert curves.worst_group(whole.only(few), groups.only(few)) is None
    nameless = Groups(np.full(len(groups.of), ""), "nobody")
    assert curves.worst_group(whole, nameless) is None


def test_a_bundle_carries_each_kind_that_has_enough_pairs() -> None:
    whole, groups = three()
    said: list[str] = []
    found, worst = curves.template_curves(whole, groups, said.append)
    assert worst is not None
    assert worst.name == "alike"
    kept = [(item.photos, item.visit) for item in found if not item.worst]
    assert kept == [(2, False), (3, False), (1, True), (2, True), (3, True)]
    inside = [(item.photos, item.visit) for item in found if item.worst]
    assert inside == [(1, False), (2, False)], "the other kinds have too few pairs"
    single = next(item.counts for item in found if item.worst)
    assert single == kinds.score(whole.only(groups.of == "alike")).counted()
    assert "counting templates of 1, single photos in the worst group" in said
    assert curves.template_curves(whole, None, QUIET) == (
        [item for item in found if not item.worst],
        None,
    )


def test_the_tail_of_a_curve_is_that_of_the_same_people() -> None:
    whole, _ = three()
    plain = kinds.score(whole).counted()
    assert plain is not None
    bare = msgspec.structs.replace(plain, tail=[])
    assert curves.with_tail(bare, whole) == plain
    assert plain.tail


def test_the_rates_of_each_group_are_those_of_a_naive_count() -> None:
    whole, groups = three()
    mask = (np.arange(len(whole.person)) % 4 < 2) & (groups.of != "few")
    small, named = whole.only(mask), groups.only(mask)
    found = {row.group: row for row in group_rows(small, named, wanted=0.01)}
    assert list(found) == ["", "alike", "unlike"]
    scores = small.templates @ small.templates.T
    first, second = np.triu_indices(len(scores), 1)
    same = small.person[first] == small.person[second]
    impostor = np.sort(scores[first, second][~same])[::-1]
    tau = impostor[int(0.01 * len(impostor))]
    for name, row in found.items():
        inside = (named.of == name) if name else np.ones(len(named.of), bool)
        both = inside[first] & inside[second]
        pairs = scores[first, second][both & ~same]
        assert row.fmr.value == pytest.approx((pairs > tau).mean(), rel=1e-6)
        genuine = scores[first, second][both & same]
        assert row.fnmr.value == pytest.approx((genuine <= tau).mean(), abs=1e-6)
        assert row.fmr.low <= row.fmr.value <= row.fmr.high
        assert (row.people, row.images) == (inside.sum() // 2, inside.sum())
        assert row.wanted == 0.01
    assert found[""].fmr.value <= 0.01 < TAIL_FMR < found["alike"].fmr.value


def test_a_group_without_pairs_of_both_kinds_has_no_rates() -> None:
    whole = people(6, 2, 0)
    of = np.array(["a"] * 4 + ["b"] * 2 + [""] * 6)
    assert [row.group for row in group_rows(whole, Groups(of, ""))] == ["", "a"]
    alone = whole.only(np.arange(12) % 2 == 0)
    assert group_rows(alone, Groups(of[::2], "")) == []
