"""log.jsonl: what a run measured, a line a step and a line an epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ostiary.edge.errors import StoreError
from ostiary.edge.files import write_atomically

LOG = "log.jsonl"


class StepLine(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="step"
):
    """One step of the optimiser.

    `epoch` counts from 1 and `step` from 1 over the whole run; `active` is the share of triplets
    (or pairs) that still had a loss, where the loss knows it; `images_s` how many images went
    through a second, and `rate` the learning rate of the step.
    """

    epoch: int
    step: int
    loss: float
    active: float | None
    images_s: float
    rate: float


class EpochLine(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="epoch"
):
    """What people kept apart said after an epoch; epoch 0 is the encoder before its first step.

    `eer` and `tar` are rates in 0..1, `guard` the TAR of the set that must not lose where there is
    one, and `best` whether this is the best epoch so far.
    """

    epoch: int
    eer: float
    tar: float | None
    best: bool
    guard: float | None = None


Line = StepLine | EpochLine
_DECODER = msgspec.json.Decoder(StepLine | EpochLine)


def read(folder: Path) -> list[Line]:
    """The lines of a run; a last one that was cut short is left out.

    Raises StoreError where there is no log, or a line of it is none.
    """
    path = folder / LOG
    try:
        # What follows the last line's end is a line that was not finished: killed, or a full disk.
        whole = path.read_bytes().split(b"\n")[:-1]
        return [_DECODER.decode(line) for line in whole]
    except OSError as error:
        raise StoreError(
            f"can not read {path}: {error.strerror}", "is it a run's folder?"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: {error}", "the log is damaged") from error


def append(folder: Path, line: Line) -> None:
    """Add a line. Raises StoreError where the disk takes none."""
    path = folder / LOG
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
    except OSError as error:
        raise StoreError(f"can not write {path}: {error.strerror}", "free some space") from error


def sync(folder: Path) -> None:
    """Make what was added durable. Raises StoreError where the disk takes none."""
    path = folder / LOG
    try:
        with path.open("ab") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"can not write {path}: {error.strerror}", "free some space") from error


def cut(folder: Path, epoch: int, step: int) -> None:
    """Drop what a resumed run will say again: lines after `step`, and from `epoch` on judged.

    So is the first line that is none, and what follows: a power cut leaves zeros, say, after what
    the last checkpoint made durable.
    """
    if not (folder / LOG).exists():
        return
    kept = [
        line
        for line in _whole(folder)
        if (line.step <= step if isinstance(line, StepLine) else line.epoch < epoch)
    ]
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in kept)
    write_atomically(folder / LOG, data)


def _whole(folder: Path) -> Iterator[Line]:
    for line in (folder / LOG).read_bytes().split(b"\n")[:-1]:
        try:
            yield _DECODER.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
