"""A run's state on disk: written whole or not at all; refused if it is damaged or another run's."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ostiary.edge.errors import ConfigError, StoreError
from ostiary.edge.files import write_atomically

FOLDER, LAST, BEST = "checkpoints", "last.pt", "best.pt"
MAGIC = b"ostiary checkpoint 1 sha256 "

Tensors = dict[str, Any]
"""A state dict: tensors by name, and an optimiser's other values."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The progress of a run: `done` steps of `epoch`, `steps` in total, and the best epoch so far.

    Epochs count from 1; epoch 0 evaluates the encoder before its first step. `best` is the lowest
    figure of an epoch so far, `best_epoch` its number, `stale` the number of epochs since.
    """

    epoch: int = 0
    done: int = 0
    steps: int = 0
    best: float = float("inf")
    best_epoch: int = -1
    stale: int = 0


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything that a run needs to continue as if it had never stopped.

    `made_with` holds digests of what must not change during a run, by names for error messages.
    """

    made_with: dict[str, str]
    place: RunProgress
    encoder: Tensors
    head: Tensors
    optimiser: Tensors


def digest(parts: Iterable[bytes]) -> str:
    """The SHA-256, in hex, of all parts joined."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def write(path: Path, state: RunState) -> None:
    """Save a state. Raises StoreError if it cannot be written; the old file then stays."""
    buffer = io.BytesIO()
    tensors = {"encoder": state.encoder, "head": state.head, "optimiser": state.optimiser}
    torch.save({"made_with": state.made_with, "place": asdict(state.place), **tensors}, buffer)
    body = buffer.getvalue()
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, MAGIC + digest([body]).encode() + b"\n" + body)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror}",
            "free some space, then resume the run: the last checkpoint is whole",
            option="resume",
        ) from error


def read(path: Path) -> RunState:
    """Read a saved state. Raises StoreError if it cannot be read or is damaged."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from error
    # Check the digest here: torch does not compare the checksums of its own archive.
    if head != MAGIC + digest([body]).encode():
        raise StoreError(
            f"{path} is damaged, or not a checkpoint",
            "begin a run in another folder, or restore the file",
        )
    found = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return RunState(**{**found, "place": RunProgress(**found["place"])})


def begun(folder: Path) -> bool:
    """True if the run in a folder has a checkpoint to continue from."""
    return (folder / FOLDER / LAST).exists()


def check(who: str, theirs: dict[str, str], ours: dict[str, str]) -> None:
    """Raise ConfigError if the digests of this run (`ours`) differ from `theirs`; it names each
    difference.

    `who` names the owner of `theirs` in the error: a checkpoint or another process.
    """
    other = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
    if other:
        raise ConfigError(
            f"{who} was made with other {' and '.join(other)}",
            "use the same ones, or begin a run in another folder",
        )
