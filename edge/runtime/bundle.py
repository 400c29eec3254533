"""The bundle on disk: manifest, hashes, tensor specs, DET curve and golden vectors."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.core.calibration import DetCurve
from edge.core.preprocess import InputSpec
from edge.errors import BundleError

SCHEMA = 1
MANIFEST, MANIFEST_SUM = "manifest.json", "manifest.sha256"
MIN_IMPOSTORS = 30_000
"""Thirty errors at an FMR of 1e-3 (the rule of 30): some 250 images of as many people."""
DET_CURVE, GOLDEN = "det_curve.json", "golden.npz"
Parsed = TypeVar("Parsed")
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class ModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model: its file, what it takes (pixels as (value - mean) / scale) and what it gives."""

    file: str
    input: str
    outputs: list[str]
    size_px: tuple[int, int]
    channels: Literal["rgb", "bgr", "gray"]
    mean: float
    scale: Annotated[float, msgspec.Meta(gt=0)]
    box_factor: float = 1.0
    """How far the face box is enlarged before it is cropped for this model; 1 is the box itself."""

    @property
    def spec(self) -> InputSpec:
        return InputSpec(self.size_px, self.channels, self.mean, self.scale)


class Models(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The four models of a bundle."""

    detector: ModelEntry
    landmarks: ModelEntry
    pad: ModelEntry
    encoder: ModelEntry

    def items(self) -> dict[str, ModelEntry]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where weights came from, and the licence as found there."""

    package: str
    version: str
    sha256: Sha256
    licence: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle is. `encoder_id` is the sha256 of the float ONNX; `files` has every file's."""

    schema: int
    recipe: str
    encoder_id: Sha256
    dim: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    models: Models
    files: dict[str, Sha256]
    sources: list[Source]


class DetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`det_curve.json`: counts over a rising grid of scores, and what they were measured on."""

    encoder_id: Sha256
    data_set: str
    people: int
    images: int
    impostors: Annotated[int, msgspec.Meta(ge=1)]
    genuines: Annotated[int, msgspec.Meta(ge=1)]
    scores: list[float]
    impostor_at_or_above: list[int]
    genuine_below: list[int]

    def curve(self) -> DetCurve:
        """The counts as arrays. Raises BundleError where they do not describe a curve."""
        try:
            scores = np.array(self.scores, np.float64)
            above = np.array(self.impostor_at_or_above, np.int64)
            below = np.array(self.genuine_below, np.int64)
        except OverflowError as error:
            raise BundleError(f"{DET_CURVE} holds counts that are no counts") from error
        if self.impostors < MIN_IMPOSTORS:
            raise BundleError(
                f"{DET_CURVE} was measured on {self.impostors} impostor pairs,"
                f" {MIN_IMPOSTORS} are the least that a threshold can rest on",
                "evaluate on more people",
            )
        same = len(scores) == len(above) == len(below) > 1
        if not same or not (
            (np.diff(scores) > 0).all()
            and _falls(above, self.impostors)
            and _falls(self.genuines - below, self.genuines)
        ):
            raise BundleError(f"{DET_CURVE} is not a curve over a rising grid", "export it again")
        return DetCurve(scores, above, below, self.impostors, self.genuines, self.data_set)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose every file has the hash its manifest names."""

    path: Path
    manifest: Manifest
    measured: DetFile | None

    @property
    def encoder_id(self) -> str:
        return self.manifest.encoder_id

    @property
    def dim(self) -> int:
        return self.manifest.dim

    def curve(self) -> DetCurve:
        """The encoder's DET curve. Raises BundleError where none was measured: no tau then."""
        if self.measured is None:
            raise BundleError(
                f"{self.path} has no {DET_CURVE}, so no threshold can be derived",
                "ostiary-export evaluate --bundle DIR --faces DIR --write",
            )
        return self.measured.curve()

    def model(self, name: str) -> ModelEntry:
        return self.manifest.models.items()[name]

    def golden(self) -> dict[str, NDArray[np.generic]]:
        """The golden arrays by name, as `export` wrote them."""
        try:
            with np.load(self.path / GOLDEN, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.path / GOLDEN} holds no arrays: {error}") from error


def load(path: Path) -> Bundle:
    """Read and check a bundle directory. Raises BundleError, naming the file at fault."""
    raw = _read(path, MANIFEST)
    if sha256(raw) != _read(path, MANIFEST_SUM).decode("ascii", "replace").strip():
        raise BundleError(f"{path / MANIFEST} was changed after export", "copy the bundle again")
    manifest = _decode(raw, Manifest, path / MANIFEST)
    if manifest.schema != SCHEMA:
        raise BundleError(
            f"{path} has schema {manifest.schema}, this device reads {SCHEMA}",
            "build it with the same version of ostiary-export",
        )
    for name, expected in manifest.files.items():
        if Path(name).name != name:
            raise BundleError(f"{path / MANIFEST} names a file outside the bundle: {name}")
        if sha256(_read(path, name)) != expected:
            raise BundleError(f"{path / name} is not the file that was exported", "copy it again")
    missing = {GOLDEN, *(m.file for m in manifest.models.items().values())}
    missing -= set(manifest.files)
    if missing:
        raise BundleError(f"{path / MANIFEST} has no hash of {', '.join(sorted(missing))}")
    if DET_CURVE not in manifest.files:
        return Bundle(path, manifest, None)
    measured = _decode(_read(path, DET_CURVE), DetFile, path / DET_CURVE)
    if measured.encoder_id != manifest.encoder_id:
        raise BundleError(f"{path / DET_CURVE} was measured on another encoder", "export again")
    measured.curve()
    return Bundle(path, manifest, measured)


def _falls(counts: NDArray[np.int64], most: int) -> bool:
    """Whether counts over a rising grid begin with nearly all, never rise, and end at none."""
    return bool((np.diff(counts) <= 0).all() and most >= counts[0] >= 0.5 * most) and (
        int(counts[-1]) >= 0
    )


def sha256(data: bytes) -> str:
    """The hex digest of some bytes."""
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise BundleError(
            f"no readable {name} in the bundle {path}: {error.strerror}",
            "give the directory that `ostiary-export build` wrote",
        ) from error


def _decode(raw: bytes, kind: type[Parsed], path: Path) -> Parsed:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}", "export the bundle again") from error
