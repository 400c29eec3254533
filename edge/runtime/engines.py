"""TensorRT engine files: what an engine was built from and for, and whether it may be used here."""

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
"""Fastest first. An int8 ONNX file is built as int8, a float file as fp16 or fp32."""


class EnginePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The library, driver and GPU of an engine; with any other, TensorRT promises nothing."""

    tensorrt: str
    """The library and its full version, as `tensorrt 10.3.0.26`."""
    driver: str
    sm: str
    device: str


class Fingerprint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that an engine depends on."""

    onnx: Sha256
    place: EnginePlace
    precision: Precision
    flags: list[str]
    shapes: dict[str, list[int]]

    @property
    def key(self) -> str:
        """A short hash of all fields."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]


class EngineLayers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The report of TensorRT's inspector: the number of layers by type, and each layer's type."""

    counts: dict[str, int]
    names: dict[str, str]


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An engine's worst difference from the golden vectors, and the largest allowed."""

    worst: Annotated[float, msgspec.Meta(ge=0)]
    tolerance: float


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of an engine's file before the plan. Without a `proof` no device runs the engine."""

    schema: int
    fingerprint: Fingerprint
    plan_sha256: Sha256
    build_s: float
    proof: Proof | None
    layers: EngineLayers | None


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an engine with a certain fingerprint could not be built, and after how many tries."""

    reason: str
    tries: int = 1
    passing: bool = False
    """True if the next try may succeed: the disk was full, or the process was ended."""

    @property
    def final(self) -> bool:
        """Whether to give up building: a door must not spend minutes on it at each start."""
        return not self.passing or self.tries >= MOST_TRIES


class EngineEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The build's result for one model: `file` is None if there is no usable engine.

    `failed` maps a fingerprint's key to its failure.
    """

    model: str
    onnx: Sha256
    file: str | None = None
    precision: Precision | None = None
    failed: dict[str, Failure] = {}


class EngineReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The results of the last build, stored beside the engines."""

    schema: int
    entries: list[EngineEntry]


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine's file as read: undamaged, but not yet checked to be for this device."""

    header: Header
    plan: bytes


def engine_file(folder: Path, onnx: str, precision: Precision) -> Path:
    """The path of the engine of an ONNX file, which is given by its SHA-256."""
    return folder / f"{onnx[:16]}.{precision}.engine"


def pack(header: Header, plan: bytes) -> bytes:
    """The bytes of an engine's file: magic, a line of JSON, the plan."""
    return MAGIC + msgspec.json.encode(header) + b"\n" + plan


def read(path: Path) -> Engine:
    """Read an engine. Raises BackendError if it is missing, cut short or not Ostiary's."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        raise BackendError(f"cannot read the engine {path}: {error.strerror}", REBUILD) from error
    # A plan is code: no account, root least of all, may run a plan that another account could
    # write.
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS_WRITE:
        raise BackendError(
            f"the engine {path} could have been written by somebody else",
            "run the command as the account that owns the file, such as: sudo -u ostiary ...",
        )
    end = data.find(b"\n", len(MAGIC), len(MAGIC) + _HEADER_MOST)
    if not data.startswith(MAGIC) or end < 0:
        raise BackendError(f"{path} is not an engine of Ostiary", REBUILD)
    try:
        header = msgspec.json.decode(data[len(MAGIC) : end], type=Header)
    except msgspec.DecodeError as error:
        raise BackendError(f"{path} is not an engine of this version: {error}", REBUILD) from error
    plan = data[end + 1 :]
    if header.schema != SCHEMA or hashlib.sha256(plan).hexdigest() != header.plan_sha256:
        raise BackendError(f"{path} is damaged or of another version", REBUILD)
    return Engine(header, plan)


def differences(found: Fingerprint, wanted: Fingerprint) -> list[str]:
    """Each difference between an engine's fingerprint and the one wanted here, as text."""
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
    """Read an engine that is for this ONNX file and this device, and proven.

    Raises BackendError with what is wrong.
    """
    engine = read(path)
    found = engine.header.fingerprint
    wanted = msgspec.structs.replace(found, onnx=onnx, place=place)
    wrong = differences(found, wanted)
    if wrong:
        raise BackendError(f"the engine {path} does not fit here: {'; '.join(wrong)}", REBUILD)
    if engine.header.proof is None:
        raise BackendError(f"the engine {path} was never tested on golden vectors", REBUILD)
    return engine


def find(folder: Path, onnx: str, place: EnginePlace) -> Engine:
    """The engine that a device runs for an ONNX file: the fastest usable precision.

    Raises BackendError if there is none, with the reasons, including those of the last build.
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
    """Why the last build made no engine of an ONNX file."""
    try:
        report = read_report(folder)
    except BackendError:
        return []
    failed = [entry for entry in report.entries if entry.onnx == onnx and entry.file is None]
    return [failure.reason for entry in failed for failure in entry.failed.values()]


@contextmanager
def trial(folder: Path) -> Iterator[Path]:
    """Guard the first use of engines: if it crashes the process, the next start must not crash too.

    Gives the folder, or a path without engines if the last trial crashed. The trial after that one
    gets the folder again.
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
    """Whether the process of an earlier trial ended before the trial did."""
    try:
        number = int(mark.read_text())
        if number == os.getpid():  # an earlier process; in a container each has number 1
            return True
        os.kill(number, 0)
    except (FileNotFoundError, PermissionError):
        return False
    except (ProcessLookupError, ValueError):
        return True
    return False


def read_report(folder: Path) -> EngineReport:
    """The report of the last build. Raises BackendError if there is none or it is unreadable."""
    path = folder / REPORT
    try:
        report = msgspec.json.decode(path.read_bytes(), type=EngineReport)
    except OSError as error:
        raise BackendError(f"cannot read {path}: {error.strerror}", REBUILD) from error
    except msgspec.DecodeError as error:
        raise BackendError(f"{path} is not a report of this version: {error}", REBUILD) from error
    return report
