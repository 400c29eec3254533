"""What goes into the replica and what comes out: sealed messages, and the changes they make."""

from __future__ import annotations

from dataclasses import dataclass

from ostiary.edge.roster.record import Head, Index, Record


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record with the payload it came in, which is what the device stores."""

    record: Record
    payload: bytes


@dataclass(frozen=True, slots=True)
class SealedHead:
    """A head with the payload it came in."""

    head: Head
    payload: bytes


Message = SealedHead | Index | Sealed


@dataclass(frozen=True, slots=True)
class Put:
    """Store this record in place of any older one of its subject."""

    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget this subject, without a trace."""

    subject: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that was not taken, perhaps after it had waited: `old-head`, `conflicting-head`,
    `old-index`, `old-record` or `not-in-index`, and what it was about."""

    message: Message
    reason: str
    about: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What the store must follow, all or nothing, and the gallery; `head` where a newer counts."""

    steps: tuple[Put | Drop, ...] = ()
    head: SealedHead | None = None
    refused: tuple[Refused, ...] = ()
