"""Bodies encoded and decoded, limits of each field, and the sums that prove a shard."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec
import pytest

from ostiary.edge.core.rules.access import Rights, Span
from ostiary.edge.errors import SealError
from ostiary.edge.roster import record as bodies
from ostiary.edge.roster.record import (
    EMPTY,
    SHARDS,
    Body,
    Command,
    Head,
    Hours,
    Index,
    Record,
    Sum,
    decode,
    encode,
    shard_of,
    sum_of,
    total,
)

A, B = "0" * 64, "f" * 64
FULL = Record(
    "ada-1", 9, False, {A: b"\0" * 512, B: b"\1" * 2048}, ("staff", "night"), 0.0, 1e10,
    (Hours(127, 0, 1440), Hours(1, 1320, 360)), True, {A: 1, B: 255}, True,
)  # fmt: skip
HEAD = Head(7, 1.5, (Sum(1, b"d" * 16), *[EMPTY] * (SHARDS - 1)))
BODIES = [
    FULL,
    Record("a", 1),
    Record("a" * 64, 2**53 - 1, gone=True),
    Record("a", 1, templates={A: b"abcd"}, photos={A: 3}),
    Record("a", 1, learns=True),
    Index("00", 1, ()),
    Index("ff", 12, (("a", 1), ("a-b", 12), ("ab", 3))),
    HEAD,
    Command(b"n" * 16, 5.0),
    Command(b"n" * 16, 5.0, "ada", 120.0),
]


def kind_and_words(body: Body) -> str:
    return f"{type(body).__name__}-{len(encode(body))}"


@pytest.mark.parametrize("body", BODIES, ids=kind_and_words)
def test_every_body_comes_back(body: Body) -> None:
    assert decode(encode(body), type(body)) == body


def fields(body: Body) -> list[Any]:
    """A body as the list that it is on the wire."""
    plain: list[Any] = msgspec.msgpack.decode(encode(body))
    return plain


GOOD = {Record: FULL, Index: BODIES[6], Head: HEAD, Command: BODIES[9]}
LONG = "a" * 65
WRONG: list[tuple[type[Body], int, list[Any]]] = [
    (Record, 0, ["", LONG, "A", "a b", "a\n", "a/b", "é", "+", b"a", 1, None, ["a"]]),
    (Record, 1, [0, -1, 2**53, 2**64 - 1, 1.0, 1.5, True, None, "1"]),
    (Record, 2, [0, 1, None, "true"]),
    (Record, 3, [{A[1:]: b"abcd"}, {A.upper() + "G": b"abcd"}, {A: b""}, {A: b"abc"}]),
    (Record, 3, [{A: b"abcde"}, {A: b"\0" * 16388}, {A: "abcd"}, {1: b"abcd"}, None, []]),
    (Record, 3, [{f"{n:064x}": b"abcd" for n in range(5)}]),
    (Record, 4, [["a"] * 65, ["A"], [LONG], [1], "a", None]),
    (Record, 5, [math.nan, math.inf, -math.inf, -1.0, 1e11, "0", True]),
    (Record, 6, [math.nan, math.inf, -math.inf, -1.0, 1e11, "0", True]),
    (Record, 7, [[[1, 0, 1]] * 33, [[0, 0, 1]], [[128, 0, 1]], [[1, -1, 1]], [[1, 0, 1441]]]),
    (Record, 7, [[[1, 0]], [[1, 0, 1, 1]], [[1, 0.5, 1]], [1], None]),
    (Record, 8, [0, 1, None, "true"]),
    (Record, 9, [{A: 0}, {A: 256}, {A: -1}, {A: 1.0}, {A: True}, {A: None}, {A[1:]: 1}, None, []]),
    (Record, 9, [{"e" * 64: 1}, {f"{n:064x}": 1 for n in range(5)}]),
    (Record, 10, [0, 1, None, "true"]),
    (Index, 0, ["", "0", "000", "AA", "gg", "0\n", b"00", 0]),
    (Index, 1, [0, -1, 2**53, 1.0, None]),
    (Index, 2, [[["a", 0]], [["a", 2**53]], [["a", True]], [["A", 1]], [["a"]], [["a", 1, 1]]]),
    (Index, 2, [[["b", 1], ["a", 2]], [["a", 1], ["a", 1]], [["a", 1], ["a", 2]], {"a": 1}, None]),
    (Head, 0, [0, -1, 2**53, 1.0]),
    (Head, 1, [math.nan, math.inf, -1.0, 1e11, None]),
    (Head, 2, [[], [[0, b"d" * 16]] * 255, [[0, b"d" * 16]] * 257]),
    (Head, 2, [[[c, d]] + [[0, b"d" * 16]] * 255 for c, d in [(-1, b"d" * 16), (0, b"d" * 15)]]),
    (Head, 2, [[[0, b"d" * 17]] + [[0, b"d" * 16]] * 255, [[0, b"d" * 16, 1]] * 256]),
    (Command, 0, [b"n" * 15, b"n" * 17, "n" * 16, None]),
    (Command, 1, [math.nan, math.inf, -1.0, 1e11]),
    (Command, 2, ["", LONG, "A", 1]),
    (Command, 3, [math.nan, math.inf, -math.inf, 0.0, -1.0, 120.1, None]),
]


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [(kind, field, value) for kind, field, values in WRONG for value in values],
    ids=lambda value: value.__name__ if isinstance(value, type) else repr(value)[:32],
)
def test_a_field_out_of_range_is_refused(kind: type[Body], field: int, value: object) -> None:
    plain = fields(GOOD[kind])
    assert decode(msgspec.msgpack.encode(plain), kind) == GOOD[kind]
    plain[field] = value
    with pytest.raises(SealError) as refused:
        decode(msgspec.msgpack.encode(plain), kind)
    assert refused.value.reason == "malformed"
    assert kind.__name__.lower() in refused.value.message


@pytest.mark.parametrize("kind", GOOD)
def test_a_field_that_is_not_known_or_missing_is_refused(kind: type[Body]) -> None:
    plain = fields(GOOD[kind])
    wrongs: list[object] = [[*plain, None], plain[:1], [], {}, None, 1]
    for wrong in wrongs:
        with pytest.raises(SealError, match=r"malformed (record|index|head|command)"):
            decode(msgspec.msgpack.encode(wrong), kind)


def test_the_message_names_the_field_and_never_what_stands_in_it() -> None:
    plain = fields(FULL)
    plain[3] = {A: b"abc"}
    with pytest.raises(SealError, match=r"\$\[3\]") as refused:
        decode(msgspec.msgpack.encode(plain), Record)
    assert "abc" not in str(refused.value)


@pytest.mark.parametrize(
    "rest",
    [
        {"templates": {A: b"abcd"}},
        {"groups": ("staff",)},
        {"valid_from_s": 0.0},
        {"valid_until_s": 0.0},
        {"schedule": (Hours(1, 0, 1),)},
        {"suspended": True},
        {"templates": {A: b"abcd"}, "photos": {A: 1}},
        {"learns": True},
    ],
    ids=lambda rest: next(iter(rest)),
)
def test_a_tombstone_holds_nothing_else(rest: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="tombstone"):
        Record("a", 1, gone=True, **rest)
    plain = fields(Record("a", 1, **rest))
    plain[2] = True
    with pytest.raises(SealError, match="tombstone"):
        decode(msgspec.msgpack.encode(plain), Record)


WITHOUT = Record("ada-1", 9, False, {A: b"abcd"}, ("staff",), 0.0, 1e10, (Hours(127, 0, 1440),))


def test_a_record_without_photos_and_consent_is_as_older_devices_read_it() -> None:
    older = ["ada-1", 9, False, {A: b"abcd"}, ["staff"], 0.0, 1e10, [[127, 0, 1440]], False]
    assert encode(WITHOUT) == msgspec.msgpack.encode(older)
    assert decode(msgspec.msgpack.encode(older), Record) == WITHOUT
    tombstone = Record("a", 1, gone=True)
    assert fields(tombstone) == ["a", 1, True, {}, [], None, None, [], False]
    counted = msgspec.structs.replace(WITHOUT, photos={A: 2})
    assert fields(counted)[9:] == [{A: 2}]
    assert len(encode(counted)) - len(encode(WITHOUT)) < 70, "docs/fleet.md states it"
    assert fields(msgspec.structs.replace(WITHOUT, learns=True))[9:] == [{}, True]


@pytest.mark.parametrize("length", range(2, 12))
def test_a_record_that_ends_early_has_the_other_fields_as_by_default(length: int) -> None:
    shortened = decode(msgspec.msgpack.encode(fields(FULL)[:length]), Record)
    names = Record.__struct_fields__
    assert len(names) == 11
    for position, name in enumerate(names):
        wanted = getattr(FULL if position < length else Record("x", 1), name)
        assert getattr(shortened, name) == wanted


def test_photos_are_those_of_a_template_in_the_record() -> None:
    with pytest.raises(ValueError, match="without its template"):
        Record("a", 1, templates={A: b"abcd"}, photos={B: 1})


def test_rights_are_what_the_record_gives() -> None:
    spans = (Span(127, 0, 1440), Span(1, 1320, 360))
    assert FULL.rights() == Rights(("staff", "night"), 0.0, 1e10, spans, True)
    assert Record("a", 1).rights() == Rights()


def test_a_shard_is_the_first_two_digits_of_the_hash_of_the_id() -> None:
    assert shard_of("ada") == hashlib.sha256(b"ada").hexdigest()[:2] == "fd"
    assert bodies.shard_names() == sorted(f"{n:02x}" for n in range(256))
    assert HEAD.sum_of("00").count == 1
    assert Head(1, 0.0, tuple(Sum(n, b"d" * 16) for n in range(256))).sum_of("a7").count == 0xA7


def test_the_sum_of_a_shard_is_of_its_sorted_lines() -> None:
    assert sum_of({}) == EMPTY == Sum(0, hashlib.sha256(b"").digest()[:16])
    expected = hashlib.sha256(b"a 12\na-b 1\nab 3\n").digest()[:16]
    assert sum_of({"ab": 3, "a": 12, "a-b": 1}) == Sum(3, expected)


def test_sums_tell_every_difference() -> None:
    shards = [{}, {"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 1}, {"a": 11}, {"a1": 1}]
    assert len({sum_of(entries).digest for entries in shards}) == len(shards)


def test_the_total_is_of_all_shards_in_their_order() -> None:
    sums = [EMPTY] * SHARDS
    one, other = [Sum(1, b"d" * 16), *sums[1:]], [*sums[1:], Sum(1, b"d" * 16)]
    assert len({total(sums), total(one), total(other)}) == 3
    assert len(total(sums)) == 32
    assert total(iter(one)) == total(one)


def test_a_head_is_small_and_so_is_a_large_index() -> None:
    largest = Head(2**53 - 1, 1e10, (Sum(4000, b"d" * 16),) * SHARDS)
    assert len(encode(largest)) < 6 * 1024
    index = Index("00", 2**53 - 1, tuple((f"employee-{n:012}", 2**40 + n) for n in range(3907)))
    assert len(encode(index)) < 140 * 1024
