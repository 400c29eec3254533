"""log.jsonl: the measurements of a run, one line per step and one per epoch."""

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
    with a loss above 0 (None if the loss has no triplets), `images_s` the images trained per
    second, and `rate` the learning rate of the step.
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
    """The evaluation after an epoch, on people set aside; epoch 0 is before the first step.

    `eer` and `tar` are rates in 0..1, `guard` is the TAR on unchanged photos, which must not fall
    (None if it was not measured), and `best` is true if this is the best epoch so far.
    """

    epoch: int
    eer: float
    tar: float | None
    best: bool
    guard: float | None = None


Line = StepLine | EpochLine
_DECODER = msgspec.json.Decoder(StepLine | EpochLine)


def read(folder: Path) -> list[Line]:
    """The lines of a run's log; a last line that was cut short is left out.

    Raises StoreError if the log cannot be read or holds an invalid line.
    """
    path = folder / LOG
    try:
        # After a kill or a full disk, the last line may be unfinished.
        whole = path.read_bytes().split(b"\n")[:-1]
        return [_DECODER.decode(line) for line in whole]
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", "give the folder of a training run"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"{path}: {error}", "the log is damaged: restore it, or train again"
        ) from error


def append(folder: Path, line: Line) -> None:
    """Add a line. Raises StoreError if it cannot be written."""
    path = folder / LOG
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", "free some space") from error


def sync(folder: Path) -> None:
    """Make all added lines durable. Raises StoreError if the disk fails."""
    path = folder / LOG
    try:
        with path.open("ab") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}", "free some space") from error


def cut(folder: Path, epoch: int, step: int) -> None:
    """Drop the lines that a resumed run will write again: steps after `step`, epochs from `epoch`
    on.

    The first invalid line and all lines after it are dropped too: after a power cut the file may
    end in zeros, behind the lines that the last checkpoint made durable.
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
