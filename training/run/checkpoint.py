"""A run's state on disk: whole or not there, refused where it is damaged or of another run."""

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
"""A state dict: tensors by name, and what an optimiser keeps beside them."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where a run is: `done` steps of `epoch`, `steps` in all; how well it went.

    Epochs count from 1; epoch 0 is the judging of the encoder before its first step. `best` is
    the best figure of an epoch so far, `best_epoch` that epoch, `stale` the epochs since.
    """

    epoch: int = 0
    done: int = 0
    steps: int = 0
    best: float = float("inf")
    best_epoch: int = -1
    stale: int = 0


@dataclass(frozen=True, slots=True)
class RunState:
    """All that a run needs to go on as if it had never stopped.

    `made_with` are digests of what may not change under a run, each by what a person calls it.
    """

    made_with: dict[str, str]
    place: RunProgress
    encoder: Tensors
    head: Tensors
    optimiser: Tensors


def digest(parts: Iterable[bytes]) -> str:
    """The SHA-256 of some bytes after each other."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def write(path: Path, state: RunState) -> None:
    """Save a state. Raises StoreError where the disk takes none: the file is then the old one."""
    buffer = io.BytesIO()
    tensors = {"encoder": state.encoder, "head": state.head, "optimiser": state.optimiser}
    torch.save({"made_with": state.made_with, "place": asdict(state.place), **tensors}, buffer)
    body = buffer.getvalue()
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, MAGIC + digest([body]).encode() + b"\n" + body)
    except OSError as error:
        raise StoreError(
            f"can not write {path}: {error.strerror}",
            "free some space, then --resume: the checkpoint before it is whole",
        ) from error


def read(path: Path) -> RunState:
    """A saved state. Raises StoreError where it can not be read or is damaged."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise StoreError(f"can not read {path}: {error.strerror}") from error
    # torch notices some damage only: it does not compare the checksums of its own archive.
    if head != MAGIC + digest([body]).encode():
        raise StoreError(
            f"{path} is damaged, or no checkpoint", "begin again in another folder, or restore it"
        )
    found = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return RunState(**{**found, "place": RunProgress(**found["place"])})


def begun(folder: Path) -> bool:
    """Whether the run in a folder has a checkpoint to go on from."""
    return (folder / FOLDER / LAST).exists()


def check(who: str, theirs: dict[str, str], ours: dict[str, str]) -> None:
    """Raises ConfigError where somebody's `made_with` is not ours, naming what differs."""
    other = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
    if other:
        raise ConfigError(
            f"{who} was made with other {' and '.join(other)}",
            "go on with the same ones, or begin a run in another folder",
        )
