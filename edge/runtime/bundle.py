"""The bundle on disk: manifest, hashes, tensor specs, DET curve, verifier and golden vectors."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import signature
from ostiary.edge.runtime.det import DET_CURVE, Comparison, DetFile
from ostiary.edge.runtime.heads import covered_file, pad_file, upright_file, verifier_file
from ostiary.edge.runtime.heads.covered_file import COVERED, CoveredFile
from ostiary.edge.runtime.heads.pad_file import PAD_FILE, PadFile
from ostiary.edge.runtime.heads.upright_file import UPRIGHT, UprightFile
from ostiary.edge.runtime.heads.verifier_file import VERIFIER, VerifierFile
from ostiary.edge.runtime.manifest import Manifest, ModelEntry
from ostiary.edge.runtime.signature import SIGNATURE, Keys

SCHEMA, WITH_FURTHER = 3, 4
READS = (2, 3, 4)
"""The schemas that this version reads: schema 2 has no `warnings`, and only 4 has `further_pad`."""
MANIFEST, GOLDEN = "manifest.json", "golden.npz"
FLOAT, INT8 = "encoder", "encoder_int8"
FLOAT_FILE, INT8_FILE = "encoder.onnx", "encoder.int8.onnx"
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle in which every file has the hash that the manifest names."""

    path: Path
    manifest: Manifest
    measured: DetFile | None
    signer: str | None = None
    """The trusted key that signed it, as hex; None if the signature was not checked."""
    verifier: VerifierFile | None = None
    """The logistic head, if the bundle has one."""
    upright: UprightFile | None = None
    """The head that tells upright faces from turned ones, if the bundle has one."""
    covered: CoveredFile | None = None
    """The head that tells covered faces from bare ones, if the bundle has one."""
    pad: PadFile | None = None
    """The rules of presentation attack detection, if the bundle has measured ones."""

    @property
    def encoder_id(self) -> str:
        return self.manifest.encoder_id

    @property
    def dim(self) -> int:
        return self.manifest.dim

    def curve(self, comparison: Comparison = "float_float") -> DetCurve:
        """The DET curve of a comparison. Raises BundleError if none was measured: no tau then."""
        return self.det().curve(comparison)

    @property
    def comparison(self) -> Comparison:
        """What a door compares: float templates, with int8 probes if there is an int8 encoder."""
        return "float_float" if self.manifest.models.encoder_int8 is None else "float_int8"

    def det(self) -> DetFile:
        """The DET curves. Raises BundleError if none were measured."""
        if self.measured is None:
            raise BundleError(
                f"{self.path} has no {DET_CURVE}, so no threshold can be derived",
                "ostiary-export verify measures it",
            )
        return self.measured

    def head(self) -> VerifierFile:
        """The logistic head and its evidence. Raises BundleError if the bundle has none."""
        if self.verifier is None:
            raise BundleError(
                f"{self.path} has no {VERIFIER}, which the profile's `verifier` asks for",
                "ostiary-train verifier makes one, ostiary-export attach puts it into the bundle",
            )
        return self.verifier

    def model(self, name: str) -> ModelEntry:
        return self.manifest.models.items()[name]

    def in_float(self) -> Bundle:
        """The same bundle without its int8 encoder."""
        models = msgspec.structs.replace(self.manifest.models, encoder_int8=None)
        return replace(self, manifest=msgspec.structs.replace(self.manifest, models=models))

    def golden(self) -> dict[str, NDArray[np.generic]]:
        """The golden arrays by name, as `export` wrote them."""
        try:
            with np.load(self.path / GOLDEN, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.path / GOLDEN} holds no arrays: {error}") from error


def load(path: Path, keys: Keys | None = None) -> Bundle:
    """Read a bundle directory as a device does, checking its signature and every file's hash.

    `keys` are those of `signature.keys_folder()` by default. Raises BundleError, naming the file.
    """
    raw = _read(path, MANIFEST)
    if not (path / SIGNATURE).is_file():
        raise BundleError(
            f"the bundle {path} is not signed",
            "verify and sign it with ostiary-export; a device runs signed bundles only",
        )
    signer = signature.check(raw, _read(path, SIGNATURE), keys or signature.read_keys())
    return replace(_checked(path, raw), signer=signer)


def read(path: Path) -> Bundle:
    """Read a bundle directory that need not be signed yet: checks the hashes only."""
    return _checked(path, _read(path, MANIFEST))


def _checked(path: Path, raw: bytes) -> Bundle:
    manifest = _decode(raw, Manifest, path / MANIFEST)
    if manifest.schema not in READS:
        raise BundleError(
            f"{path} has schema {manifest.schema}, this version reads {READS[0]} to {READS[-1]}",
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
    return Bundle(
        path,
        manifest,
        _measured(path, manifest),
        verifier=_verifier(path, manifest),
        upright=_upright(path, manifest),
        covered=_covered(path, manifest),
        pad=_pad(path, manifest),
    )


def _measured(path: Path, manifest: Manifest) -> DetFile | None:
    if DET_CURVE not in manifest.files:
        return None
    measured = _decode(_read(path, DET_CURVE), DetFile, path / DET_CURVE)
    int8 = manifest.models.encoder_int8
    if measured.encoder_id != manifest.encoder_id or (
        int8 is not None
        and measured.int8_sha256 is not None
        and measured.int8_sha256 != manifest.files[int8.file]
    ):
        raise BundleError(
            f"{path / DET_CURVE} was measured on another encoder", "export the bundle again"
        )
    measured.check()
    return measured


def _head(
    path: Path, manifest: Manifest, name: str, parse: Callable[[bytes, str], Parsed]
) -> Parsed | None:
    """A bundle's JSON file, if it has one of this name."""
    return parse(_read(path, name), str(path / name)) if name in manifest.files else None


def _verifier(path: Path, manifest: Manifest) -> VerifierFile | None:
    if found := _head(path, manifest, VERIFIER, verifier_file.parse):
        int8 = manifest.models.encoder_int8
        found.check(manifest.encoder_id, manifest.dim, manifest.files[int8.file] if int8 else None)
    return found


def _upright(path: Path, manifest: Manifest) -> UprightFile | None:
    if found := _head(path, manifest, UPRIGHT, upright_file.parse):
        found.check(manifest.files[manifest.models.landmarks.file])
    return found


def _covered(path: Path, manifest: Manifest) -> CoveredFile | None:
    if found := _head(path, manifest, COVERED, covered_file.parse):
        found.check()
    return found


def _pad(path: Path, manifest: Manifest) -> PadFile | None:
    if found := _head(path, manifest, PAD_FILE, pad_file.parse):
        found.check(manifest.model_hashes())
    return found


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes, as hex."""
    return hashlib.sha256(data).hexdigest()


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {name} in the bundle {path}: {error.strerror}",
            "give the directory that `ostiary-export build` wrote",
        ) from error


def _decode(raw: bytes, kind: type[Parsed], path: Path) -> Parsed:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {error}", "export the bundle again") from error
