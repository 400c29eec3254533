"""Payloads for fuzzing parsers: random ones, and genuine ones changed in many ways."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

DEEP = 100_000
"""Nesting levels: more than any stack holds."""
BAD_HEADERS = [
    b"\xdd\xff\xff\xff\xff", b"\xdd\x00\x01\x00\x00", b"\xdc\xff\xff",
    b"\xdf\xff\xff\xff\xff", b"\xde\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xc6\x00\x0f\xff\xff", b"\xc9\xff\xff\xff\xff\x01", b"\xd9\xff", b"\xc7\xff\x05", b"\xc1",
    b"\xa2\xff\xfe", b"\xa3\xed\xa0\x80", b"\xa1\x00", b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + b"\0" * 7,
    b"\xcb\x7f\xf8" + b"\0" * 6, b"\xcb\xff\xf0" + b"\0" * 6, b"\xca\x7f\xc0\x00\x00",
    b"\xd6\xff\0\0\0\0", b"\xc7\x0c\xff" + b"\xff" * 12,
]  # fmt: skip
"""Msgpack headers of long values that do not follow, bad UTF-8, surrogates, NaN, timestamps."""
ODD: list[Any] = [
    math.nan, math.inf, -math.inf, -0.0, -1, -1.5, 0, 1, 2**53, 2**64 - 1, -(2**63), 1e300, True,
    False, None, "", "a\n", "\0", "é", "a" * 65, "a" * 5000, b"", b"\0" * 16, b"\0" * 20_000,
    [], {}, [[]] * 300, [None] * 5000, {"a": 1}, {b"a": 1}, {1: {}}, [["a", 1]] * 3,
    msgspec.msgpack.Ext(5, b"x"),
]  # fmt: skip
TAGS = b"\x90\x91\x92\x99\x80\xa1\xc0\xc2\xc3\xcb\xcc\xdc\xdd\xdf\xc4a\x01"
MARK = b"\xa4MARK"


def changed_bytes(dice: random.Random, genuine: bytes, splice: Sequence[bytes]) -> bytes:
    """A genuine payload with bytes flipped, removed, inserted, repeated or from elsewhere."""
    raw = bytearray(genuine)
    for _ in range(1 + dice.randrange(3)):
        at = dice.randrange(len(raw) + 1)
        match dice.randrange(7):
            case 0 if at < len(raw):
                raw[at] ^= 1 << dice.randrange(8)
            case 1:
                del raw[at:]
            case 2:
                del raw[at : at + 1 + dice.randrange(8)]
            case 3:
                raw[at:at] = dice.randbytes(1 + dice.randrange(8))
            case 4:
                raw[at : at + dice.randrange(6)] = dice.choice(splice)
            case 5:
                raw[at:at] = raw[at : at + 40] * (1 + dice.randrange(3))
            case _:
                raw[at:] = dice.choice(splice)[dice.randrange(3) :]
    return bytes(raw)


def changed_value(dice: random.Random, genuine: bytes) -> bytes:
    """A genuine msgpack body with one value, at any depth, replaced by another type or size."""
    plain = msgspec.msgpack.decode(genuine)
    node, path = plain, [plain]
    while isinstance(node, (list, dict)) and node and dice.random() < 0.8:
        node = dice.choice(list(node.values() if isinstance(node, dict) else node))
        path.append(node)
    parents = [p for p in path if isinstance(p, (list, dict)) and p]
    parent: Any = parents[-1]
    key = dice.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    raw = None
    match dice.randrange(5):
        case 0 | 1:
            parent[key] = dice.choice(ODD)
        case 2:
            parent[key], raw = "MARK", dice.choice(BAD_HEADERS)
        case 3 if isinstance(parent, list):
            parent.append(dice.choice(ODD))
        case 4 if isinstance(parent, list):
            parent.pop(key)
        case _:
            parent[key], raw = "MARK", dice.choice([b"\x91", b"\x81\xa1a"]) * dice.choice([3, DEEP])
    encoded = msgspec.msgpack.encode(plain)
    return encoded if raw is None else encoded.replace(MARK, raw)


def msgpack_payload(dice: random.Random, genuine: Sequence[bytes]) -> bytes:
    match dice.randrange(10):
        case 0:
            return dice.randbytes(dice.randrange(200))
        case 1:
            return bytes(dice.choices(TAGS, k=dice.randrange(60))) + dice.choice(BAD_HEADERS)
        case 2 | 3 | 4:
            return changed_bytes(dice, dice.choice(genuine), BAD_HEADERS)
        case _:
            return changed_value(dice, dice.choice(genuine))


TOKENS = [
    b"NaN", b"Infinity", b"-", b"1e999", b"-1e999", b"9" * 4000, b'"\\ud800"', b'"\\ud800\\udc00"',
    b'"\xff"', b'"\xed\xa0\x80"', b"\xef\xbb\xbf", b"\0", b'"\\u0000"', b"{", b"[", b'{"a":',
    b"]", b"}", b"," * 3, b":", b"null", b"true", b'"' + b"x" * 4000, b"1.5", b"-1",
    b"[" * DEEP, b'{"a":' * DEEP,
    b'"event":1,', b'"x":{"y":[1,2,{"z":null}]},', b'"template":"====",', b"\\", b"\n", b"//",
]  # fmt: skip


def json_payload(dice: random.Random, genuine: Sequence[bytes]) -> bytes:
    match dice.randrange(8):
        case 0:
            return dice.randbytes(dice.randrange(100))
        case 1:
            return b"".join(dice.choice(TOKENS) for _ in range(dice.randrange(8)))
        case 2 | 3:
            raw = dice.choice(genuine)
            ends = [at for at, byte in enumerate(raw) if byte in b':,{"']
            at = dice.choice(ends) + 1
            return raw[:at] + dice.choice(TOKENS) + raw[at + dice.choice((0, 0, 1, 5)) :]
        case _:
            return changed_bytes(dice, dice.choice(genuine), TOKENS)


def sealed_payload(
    dice: random.Random, seals: Sequence[Callable[[bytes], bytes]], bodies: Sequence[bytes]
) -> bytes:
    """A random payload, or one closed and signed in some way, mostly wrong, then changed."""
    match dice.randrange(8):
        case 0:
            return dice.randbytes(dice.randrange(300))
        case 1:
            return b"\1" + dice.randbytes(dice.randrange(300))
        case 2 if dice.randrange(50) == 0:
            return b"\1" * dice.randrange((1 << 20) - 2, (1 << 20) + 3)
        case 2 | 3 | 4:
            return dice.choice(seals)(dice.choice(bodies))
        case _:
            genuine = dice.choice(seals)(dice.choice(bodies))
            return changed_bytes(dice, genuine, [b"", b"\1", b"\0" * 24, dice.randbytes(64)])
