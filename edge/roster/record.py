"""The operator's messages: one record per subject, one index per shard, one head. Pure values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from ostiary.edge.core.rules.access import Rights, Span
from ostiary.edge.core.types import SUBJECT
from ostiary.edge.errors import SealError

SHARDS = 256
"""The number of shards. With a million subjects an index has 140 kB, and a head at most 6 kB."""
DIGEST_BYTES = 16
MOST_PHOTOS = 255
"""The largest number of photos that a record states; more photos are stated as this many."""
FIRST_FIELDS = 9
"""The fields of a record that every device reads, also one from before `photos` and `learns`."""

Subject = Annotated[str, Meta(pattern=rf"^{SUBJECT.pattern}\Z")]
Revision = Annotated[int, Meta(ge=1, lt=2**53)]
Seconds = Annotated[float, Meta(ge=0, lt=1e11)]
Minute = Annotated[int, Meta(ge=0, le=1440)]
Digest = Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
EncoderId = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Embedding = Annotated[bytes, Meta(min_length=4, max_length=16384)]
Photos = Annotated[int, Meta(ge=1, le=MOST_PHOTOS)]


class Body(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The content of a sealed message, as msgpack. Unknown fields are refused, since they might
    take rights away."""


class Hours(Body, frozen=True):
    """One span of a schedule; see `ostiary.edge.core.rules.access.Span`."""

    days: Annotated[int, Meta(ge=1, le=127)]
    start_min: Minute
    end_min: Minute


class Record(Body, frozen=True):
    """One subject at `revision`: the roster's sequence number when the subject last changed.

    `templates` are unit-norm little-endian float32 by encoder id. `photos` counts, by encoder id,
    the photos or frames that a template was fused from; an unknown number is left out. `learns`
    means that the subject consented that a door may learn from sure grants. A record with `gone` is
    a tombstone of a revoked subject and holds nothing else.
    """

    subject: Subject
    revision: Revision
    gone: bool = False
    templates: Annotated[dict[EncoderId, Embedding], Meta(max_length=4)] = {}
    groups: Annotated[tuple[Subject, ...], Meta(max_length=64)] = ()
    valid_from_s: Seconds | None = None
    valid_until_s: Seconds | None = None
    schedule: Annotated[tuple[Hours, ...], Meta(max_length=32)] = ()
    suspended: bool = False
    photos: dict[EncoderId, Photos] = {}
    learns: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for contradictions; `decode` turns it into SealError `malformed`."""
        if self.gone and (
            self.templates or self.photos or self.learns or self.rights() != Rights()
        ):
            raise ValueError("a tombstone that holds more than the subject")
        if self.photos.keys() - self.templates.keys():
            raise ValueError("a number of photos without its template")
        if any(len(embedding) % 4 for embedding in self.templates.values()):
            raise ValueError("an embedding that is not made of float32")

    def rights(self) -> Rights:
        """The rights that access is decided by."""
        spans = tuple(Span(h.days, h.start_min, h.end_min) for h in self.schedule)
        return Rights(self.groups, self.valid_from_s, self.valid_until_s, spans, self.suspended)


class Index(Body, frozen=True):
    """The subjects of a shard and their revisions, sorted by subject, tombstones included.

    `sequence` is the roster's sequence number when the shard last changed.
    """

    shard: Annotated[str, Meta(pattern=r"^[0-9a-f]{2}\Z")]
    sequence: Revision
    entries: tuple[tuple[Subject, Revision], ...]

    def __post_init__(self) -> None:
        """Raises ValueError for a subject that is repeated or out of order; see `Record`."""
        subjects = [subject for subject, _ in self.entries]
        if subjects != sorted(set(subjects)):
            raise ValueError("entries that are not sorted by subject, each once")


class Sum(Body, frozen=True):
    """The sum of a shard in the head: the number of entries in its index, and their digest."""

    count: Annotated[int, Meta(ge=0)]
    digest: Digest


EMPTY = Sum(0, hashlib.sha256().digest()[:DIGEST_BYTES])


class Head(Body, frozen=True):
    """The whole roster in 6 kB: its sequence number, when it was signed, and each shard's sum.

    If it is signed again without a change, `sequence` stays and `issued_at_s` is later.
    """

    sequence: Revision
    issued_at_s: Seconds
    sums: Annotated[tuple[Sum, ...], Meta(min_length=SHARDS, max_length=SHARDS)]

    def sum_of(self, shard: str) -> Sum:
        return self.sums[int(shard, 16)]


class Command(Body, frozen=True):
    """A command to one device, carried out once; its topic says whether `open` or `capture`.

    It is refused after `expires_at_s`, or if its nonce was seen before.
    """

    nonce: Annotated[bytes, Meta(min_length=16, max_length=16)]
    expires_at_s: Seconds
    subject: Subject | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=120)] = 30.0


B = TypeVar("B", bound=Body)


def encode(body: Body) -> bytes:
    """A body as msgpack. A record without `photos` and `learns` is as before these fields existed,
    so that older devices read it."""
    if not isinstance(body, Record):
        return msgspec.msgpack.encode(body)
    fields = msgspec.structs.astuple(body)
    while len(fields) > FIRST_FIELDS and not fields[-1]:
        fields = fields[:-1]
    return msgspec.msgpack.encode(fields)


def decode(raw: bytes, kind: type[B]) -> B:
    """A body from msgpack. Raises SealError `malformed`, which names the wrong field."""
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SealError("malformed", f"malformed {kind.__name__.lower()}: {error}") from error


def shard_of(subject: str) -> str:
    """The shard of a subject: the first two hex digits of SHA-256 of the subject's id."""
    return hashlib.sha256(subject.encode("ascii")).hexdigest()[:2]


def shard_names() -> list[str]:
    return [f"{number:02x}" for number in range(SHARDS)]


def sum_of(entries: Mapping[str, int]) -> Sum:
    """Count and digest of a shard: 16 bytes of SHA-256 over its sorted `subject revision` lines."""
    if not entries:
        return EMPTY
    lines = "".join(f"{subject} {revision}\n" for subject, revision in sorted(entries.items()))
    return Sum(len(entries), hashlib.sha256(lines.encode("ascii")).digest()[:DIGEST_BYTES])


def total(sums: Iterable[Sum]) -> str:
    """One digest of all shards, as hex, with which a device reports what it holds."""
    return hashlib.sha256(b"".join(encode(s) for s in sums)).hexdigest()[: 2 * DIGEST_BYTES]
