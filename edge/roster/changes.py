"""Input and output of the replica: opened messages, and the changes that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.edge.roster.record import Head, Index, Record


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record with its sealed payload, which the device stores."""

    record: Record
    payload: bytes


@dataclass(frozen=True, slots=True)
class SealedHead:
    """A head with its sealed payload."""

    head: Head
    payload: bytes


Message = SealedHead | Index | Sealed


@dataclass(frozen=True, slots=True)
class Put:
    """Store this record; an older one of its subject is replaced."""

    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete everything about this subject."""

    subject: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that the replica refused, at once or after a wait. `reason` is `old-head`,
    `conflicting-head`, `old-index`, `old-record` or `not-in-index`; `about` names the message's
    subject or shard, or the sequences of the heads."""

    message: Message
    reason: str
    about: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change in the store (in one transaction) and the gallery; `head` is a newer head."""

    steps: tuple[Put | Drop, ...] = ()
    head: SealedHead | None = None
    refused: tuple[Refused, ...] = ()
