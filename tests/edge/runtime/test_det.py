"""`det_curve.json`: curves of several kinds, modelled tails, the worst group, and older files."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.det import (
    MIN_IMPOSTORS,
    Counts,
    DetFile,
    TailRow,
    TemplateCurve,
    WorstGroup,
)
from tests.support.fakes import curve

GROUP = WorstGroup("women", 300, 700, "checked by hand", ["men", "women"])


def counts(made: DetCurve) -> Counts:
    tail = made.tail
    rows = [] if tail is None else list(zip(tail.fmr, tail.tau, tail.safe, strict=True))
    return Counts(
        made.impostors,
        made.genuines,
        made.impostor_at_or_above.tolist(),
        made.genuine_below.tolist(),
        [TailRow(*map(float, row)) for row in rows],
    )


def item(photos: int, visit: bool, worst: bool, start: float, tailed: bool = True) -> TemplateCurve:
    return TemplateCurve(photos, visit, worst, counts(curve(start=start, tailed=tailed)))


ITEMS = [
    item(2, False, False, 0.02),
    item(1, True, False, 0.03),
    item(1, False, True, 0.1),
    item(2, False, True, 0.12, tailed=False),
    item(1, True, True, 0.13),
]


def file(**changes: Any) -> DetFile:
    made = DetFile(
        encoder_id="a1" * 32,
        data_set="my faces",
        people=1111,
        images=3096,
        scores=curve().scores.tolist(),
        float_float=counts(curve(tailed=True)),
        int8_sha256="b2" * 32,
        float_int8=counts(curve(start=0.01)),
        curves=ITEMS,
        worst_group=GROUP,
    )
    return msgspec.structs.replace(made, **changes)


def same(found: DetCurve, wanted: DetCurve) -> None:
    assert (found.scores == wanted.scores).all()
    assert (found.impostor_at_or_above == wanted.impostor_at_or_above).all()
    assert (found.genuine_below == wanted.genuine_below).all()
    assert (found.tail is None) == (wanted.tail is None)
    if found.tail is not None and wanted.tail is not None:
        for name in ("fmr", "tau", "safe"):
            assert (getattr(found.tail, name) == getattr(wanted.tail, name)).all()


def test_a_file_is_read_as_it_was_written() -> None:
    raw = msgspec.json.encode(file())
    read = msgspec.json.decode(raw, type=DetFile)
    assert read == file()
    assert msgspec.json.encode(read) == raw
    read.check()
    same(read.curve(), curve(tailed=True))
    assert read.curve().data_set == "my faces"


def test_the_curves_of_everybody() -> None:
    for comparison, start, tailed in (("float_float", 0.0, True), ("float_int8", 0.01, False)):
        found = file().curves_for(comparison, worst=False)  # type: ignore[arg-type]
        assert (set(found.single), set(found.visit), found.group) == ({1, 2}, {1}, "")
        same(found.single[1], curve(start=start, tailed=tailed))
        same(found.single[2], curve(start=0.02, tailed=True))
        same(found.visit[1], curve(start=0.03, tailed=True))


def test_the_curves_of_the_worst_group_are_only_its_own() -> None:
    found = file().curves_for("float_float", worst=True)
    assert (set(found.single), set(found.visit), found.group) == ({1, 2}, {1}, "women")
    same(found.single[1], curve(start=0.1, tailed=True))
    same(found.single[2], curve(start=0.12))
    same(found.visit[1], curve(start=0.13, tailed=True))


def test_without_groups_the_worst_is_everybody() -> None:
    found = file(worst_group=None).curves_for("float_float", worst=True)
    assert (set(found.single), found.group) == ({1, 2}, "")
    same(found.single[1], curve(tailed=True))


def test_a_comparison_that_was_not_measured_is_revisit() -> None:
    with pytest.raises(BundleError, match="no int8_int8 comparison"):
        file().curves_for("int8_int8", worst=False)


def test_a_file_of_before_is_read_and_written_as_it_was() -> None:
    one = {
        "impostors": 1_000_000,
        "genuines": 1000,
        "impostor_at_or_above": curve().impostor_at_or_above.tolist(),
        "genuine_below": curve().genuine_below.tolist(),
    }
    old = {
        "encoder_id": "a1" * 32, "data_set": "my faces", "people": 1111, "images": 3096,
        "scores": curve().scores.tolist(), "float_float": one,
    }  # fmt: skip
    raw = msgspec.json.encode(old)
    read = msgspec.json.decode(raw, type=DetFile)
    read.check()
    for worst in (True, False):
        found = read.curves_for("float_float", worst)
        assert (set(found.single), dict(found.visit), found.group) == ({1}, {}, "")
        same(found.single[1], curve())
    assert msgspec.json.encode(read) == raw


def rows(column: str, *values: float) -> Counts:
    plain = {"fmr": [1e-3, 1e-4, 1e-5], "tau": [0.3, 0.4, 0.5], "safe": [0.32, 0.42, 0.52]}
    columns = zip(*(plain | {column: list(values)}).values(), strict=True)
    return msgspec.structs.replace(counts(curve()), tail=[TailRow(*row) for row in columns])


@pytest.mark.parametrize(
    "tail",
    [
        rows("fmr", 1e-3, 1e-3, 1e-5),
        rows("fmr", 1e-3, 1e-4, 2e-4),
        rows("tau", 0.3, 0.2, 0.31),
        rows("safe", 0.32, 0.32, 0.5),
        rows("tau", 0.3, float("nan"), 0.5),
    ],
)
@pytest.mark.parametrize("where", ["float_float", "curves"])
def test_a_tail_that_does_not_fall_is_revisit(tail: Counts, where: str) -> None:
    given = tail if where == "float_float" else [*ITEMS, TemplateCurve(3, False, True, tail)]
    with pytest.raises(BundleError, match="a tail that does not fall with the score"):
        file(**{where: given}).check()
    file(float_float=rows("fmr", 1e-3, 1e-4, 1e-5)).check()


@pytest.mark.parametrize("row", ["[0, 0.3, 0.3]", "[1, 0.3, 0.3]", "[0.1, 0.3]", "[0.1, 0, 0, 0]"])
def test_a_row_of_a_tail_is_three_numbers_and_a_rate(row: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(row, type=TailRow)


@pytest.mark.parametrize("left_out", [(1, False, True), (1, True, True), (1, True, False)])
def test_curves_without_that_of_one_photo_are_revisit(left_out: tuple[int, bool, bool]) -> None:
    others = [
        *(one for one in ITEMS if (one.photos, one.visit, one.worst) != left_out),
        *(item(3, True, worst, 0.1) for worst in (False, True)),
    ]
    with pytest.raises(BundleError, match="no curve for templates of one photo"):
        file(curves=others).check()


def test_a_kind_of_too_few_pairs_is_revisit() -> None:
    few = TemplateCurve(2, False, True, counts(curve(MIN_IMPOSTORS - 1)))
    with pytest.raises(BundleError, match="29999 impostor pairs"):
        file(curves=[*ITEMS[:3], few]).check()


def test_templates_of_four_photos_have_no_curve_of_their_own() -> None:
    raw = msgspec.to_builtins(ITEMS[0]) | {"photos": 4}
    with pytest.raises(msgspec.ValidationError, match="photos"):
        msgspec.convert(raw, TemplateCurve)
