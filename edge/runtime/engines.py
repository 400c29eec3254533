"""TensorRT engines on the disk: what each was built from and for, and whether it holds here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from ostiary.edge.errors import BackendError
from ostiary.edge.runtime.det import Sha256

SCHEMA = 1
FOLDER, REPORT = "engines", "engines.json"
MAGIC = b"ostiary engine\n"
TRYING = ".trying"
MOST_TRIES = 2
_HEADER_MOST = 1 << 20
_OTHERS_WRITE = 0o002
REBUILD = "ostiary-export engine builds it on this device"
Precision = Literal["int8", "fp16", "fp32"]
"""Fastest first. The int8 file has the first only, a float file one of the others."""


class EnginePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where an engine runs: TensorRT promises nothing as soon as one of these differs."""

    tensorrt: str
    """The library and its version in full, as `tensorrt 10.3.0.26`."""
    driver: str
    sm: str
    device: str


class Fingerprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that decides what an engine is."""

    onnx: Sha256
    place: EnginePlace
    precision: Precision
    flags: list[str]
    shapes: dict[str, list[int]]

    @property
    def key(self) -> str:
        """A short name for all of it."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class EngineLayers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What TensorRT's inspector says: how many layers compute in which type, and each by name."""

    counts: dict[str, int]
    names: dict[str, str]


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far an engine was off the golden vectors, and how far it may be."""

    worst: Annotated[float, msgspec.Meta(ge=0)]
    tolerance: float


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands before the plan in an engine's file; without a `proof` no device runs it."""

    schema: int
    fingerprint: Fingerprint
    plan_sha256: Sha256
    build_s: float
    proof: Proof | None
    layers: EngineLayers | None


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why there is no engine of a fingerprint, and how often it was tried."""

    reason: str
    tries: int = 1
    passing: bool = False
    """The next try may succeed: the disk was full, or the process was ended."""

    @property
    def final(self) -> bool:
        """Whether it is not tried again: a door must not spend minutes at each start."""
        return not self.passing or self.tries >= MOST_TRIES


class EngineEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one model: `file` is None where no engine counts.

    `failed` is by the fingerprint's key.
    """

    model: str
    onnx: Sha256
    file: str | None = None
    precision: Precision | None = None
    failed: dict[str, Failure] = {}


class EngineReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last build's outcome, beside the engines."""

    schema: int
    entries: list[EngineEntry]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine's file as read: whole, but not yet known to be for this device."""

    header: Header
    plan: bytes


def engine_file(folder: Path, onnx: str, precision: Precision) -> Path:
    """Where the engine of an ONNX file (by its sha256) lies."""
    return folder / f"{onnx[:16]}.{precision}.engine"


def pack(header: Header, plan: bytes) -> bytes:
    """An engine's file: magic, a line of JSON, the plan."""
    return MAGIC + msgspec.json.encode(header) + b"\n" + plan


def read(path: Path) -> Engine:
    """Read an engine. Raises BackendError where it is missing, cut short or not one of ours."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        raise BackendError(f"can not read the engine {path}: {error.strerror}", REBUILD) from error
    # A plan is code: nobody runs what another account could have put there, least of all root.
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_WRITE:
        raise BackendError(
            f"the engine {path} could have been written by somebody else",
            "run it as the account that owns it, such as: sudo -u ostiary ...",
        )
    end = data.find(b"\n", len(MAGIC), len(MAGIC) + _HEADER_MOST)
    if not data.startswith(MAGIC) or end < 0:
        raise BackendError(f"{path} is no engine of Ostiary", REBUILD)
    try:
        header = msgspec.json.decode(data[len(MAGIC) : end], type=Header)
    except msgspec.DecodeError as error:
        raise BackendError(f"{path} is no engine of this version: {error}", REBUILD) from error
    plan = data[end + 1 :]
    if header.schema != SCHEMA or hashlib.sha256(plan).hexdigest() != header.plan_sha256:
        raise BackendError(f"{path} is damaged or of another version", REBUILD)
    return Engine(header, plan)


def differences(found: Fingerprint, wanted: Fingerprint) -> list[str]:
    """What an engine was built from or for, where that is not what is wanted here."""
    before, after = _flat(found), _flat(wanted)
    return [
        f"{name} {before[name]} there, {after[name]} here"
        for name in after
        if before[name] != after[name]
    ]


def _flat(fingerprint: Fingerprint) -> dict[str, object]:
    parts: dict[str, object] = msgspec.to_builtins(fingerprint)
    place = parts.pop("place")
    return {**parts, **place} if isinstance(place, dict) else parts


def usable(path: Path, onnx: str, place: EnginePlace) -> Engine:
    """The engine in a file, for this ONNX file, this device, and proven.

    Raises BackendError with what is wrong.
    """
    engine = read(path)
    found = engine.header.fingerprint
    wanted = msgspec.structs.replace(found, onnx=onnx, place=place)
    wrong = differences(found, wanted)
    if wrong:
        raise BackendError(f"the engine {path} is of elsewhere: {'; '.join(wrong)}", REBUILD)
    if engine.header.proof is None:
        raise BackendError(f"the engine {path} never met its golden vectors", REBUILD)
    return engine


def find(folder: Path, onnx: str, place: EnginePlace) -> Engine:
    """The engine that a device runs for an ONNX file, the fastest precision first.

    Raises BackendError with why there is none, as the last build reported it where it did.
    """
    problems = []
    for precision in get_args(Precision):
        path = engine_file(folder, onnx, precision)
        if not path.is_file():
            continue
        try:
            return usable(path, onnx, place)
        except BackendError as error:
            problems.append(error.message)
    problems += _reported(folder, onnx)
    raise BackendError("; ".join(problems) or f"there is no engine in {folder}", REBUILD)


def _reported(folder: Path, onnx: str) -> list[str]:
    """Why the last build made none of an ONNX file."""
    try:
        report = read_report(folder)
    except BackendError:
        return []
    failed = [entry for entry in report.entries if entry.onnx == onnx and entry.file is None]
    return [failure.reason for entry in failed for failure in entry.failed.values()]


@contextmanager
def trial(folder: Path) -> Iterator[Path]:
    """Around the first use of engines: what ends the process here must not do so at each start.

    Gives the folder; or one beside it that holds no engines, where the last trial never ended.
    The trial after that is a real one again.
    """
    mark = folder / TRYING
    if not folder.is_dir():
        yield folder
    elif _was_ended(mark):
        mark.unlink()
        yield mark
    else:
        mark.write_text(str(os.getpid()))
        try:
            yield folder
        finally:
            mark.unlink(missing_ok=True)


def _was_ended(mark: Path) -> bool:
    """Whether a trial began whose process is no longer there."""
    try:
        number = int(mark.read_text())
        if number == os.getpid():  # of an earlier life: in a container each is number 1
            return True
        os.kill(number, 0)
    except (FileNotFoundError, PermissionError):
        return False
    except (ProcessLookupError, ValueError):
        return True
    return False


def read_report(folder: Path) -> EngineReport:
    """What the last build said. Raises BackendError where there was none, or it is unreadable."""
    path = folder / REPORT
    try:
        report = msgspec.json.decode(path.read_bytes(), type=EngineReport)
    except OSError as error:
        raise BackendError(f"can not read {path}: {error.strerror}", REBUILD) from error
    except msgspec.DecodeError as error:
        raise BackendError(f"{path} is no report of this version: {error}", REBUILD) from error
    return report
