"""A bundle of four models that average an image's colours: all of a real one's forms, in 2 KB."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.errors import OstiaryError
from ostiary.edge.models.install import install
from ostiary.edge.runtime import signature
from ostiary.edge.runtime.bundle import GOLDEN, MANIFEST, SCHEMA, Bundle, sha256
from ostiary.edge.runtime.manifest import Manifest, ModelEntry, Models, WeightsSource
from ostiary.edge.runtime.signature import SIGNATURE, Keys
from ostiary.export.bundle.pack import pack

MODELS = ("detector", "landmarks", "pad", "encoder")
SIDE = 4
SEED = bytes(range(32))


def keys(seed: bytes = SEED) -> Keys:
    """The key of a seed, trusted."""
    text = signature.sign(b"", seed)
    return Keys(frozenset({text[4:68]}), Path("keys"))


def make(folder: Path, seed: int = 0, sign: bool = True) -> Path:
    """Write a bundle; another seed gives other models. `SEED` signs it."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    files = {"report.bin": rng.bytes(300)}
    arrays: dict[str, np.ndarray] = {}
    for name in MODELS:
        factors = rng.uniform(0.5, 1.5, (1, 3)).astype("f4")
        files[f"{name}.onnx"] = model(factors)
        images = rng.integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
        outputs = images[..., ::-1].mean((1, 2)) / 255 * factors
        if name == "encoder":
            outputs /= np.linalg.norm(outputs, axis=1, keepdims=True)
        arrays |= {f"{name}.images": images, f"{name}.outputs": outputs.astype("f4")}
        arrays[f"{name}.tolerance"] = np.array(0.02)
    files[GOLDEN] = golden(arrays)
    for file, data in files.items():
        (folder / file).write_bytes(data)
    write_manifest(folder, files, sign)
    return folder


def write_manifest(
    folder: Path, files: dict[str, bytes], sign: bool = True, warnings: Sequence[str] = ()
) -> None:
    """The manifest of some files, and its signature."""
    manifest = Manifest(
        schema=SCHEMA,
        recipe="tiny",
        encoder_id=sha256(files["encoder.onnx"]),
        dim=3,
        models=Models(**{name: entry(name) for name in MODELS}, further_pad={}),
        files={file: sha256(data) for file, data in files.items()},
        sources=[WeightsSource("none", "1", "0" * 64, "CC0-1.0")],
        warnings=list(warnings),
    )
    raw = msgspec.json.encode(manifest)
    (folder / MANIFEST).write_bytes(raw)
    if sign:
        (folder / SIGNATURE).write_text(signature.sign(raw, SEED))


def entry(name: str) -> ModelEntry:
    return ModelEntry(f"{name}.onnx", "input", ["out"], (SIDE, SIDE), "rgb", 0.0, 255.0)


def golden(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def model(factors: np.ndarray) -> bytes:
    """The mean of each channel, times a factor."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Mul", ["flat", "factors"], ["out"]),
    ]
    taken = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
    given = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3])
    weights = [numpy_helper.from_array(factors, "factors")]
    graph = helper.make_graph(nodes, "tiny", [taken], [given], weights)
    opset = helper.make_opsetid("", 13)
    made = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    return bytes(made.SerializeToString())


KEYS = keys()


def trusting(bundle: Bundle) -> None:
    """In place of the golden vectors, where a test is not about them."""


class Place:
    """A folder with a bundle that runs, and what else was there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.target = make(folder / "device" / "bundle")
        self.archive = folder / "new.zip"
        self.new = make(folder / "new", seed=1)
        pack(self.new, self.archive)
        self.before = state(folder / "device")

    def entries(self) -> list[tuple[zipfile.ZipInfo, bytes]]:
        with zipfile.ZipFile(self.archive) as zipped:
            return [(entry, zipped.read(entry)) for entry in zipped.infolist()]

    def rewrite(self, entries: list[tuple[zipfile.ZipInfo, bytes]], method: int = 0) -> None:
        with zipfile.ZipFile(self.archive, "w") as zipped:
            for entry, data in entries:
                zipped.writestr(entry, data, method)

    def refused(self, message: str, **how: Any) -> None:
        """Nothing changed in the device's folder nor, but for the archive, anywhere else."""
        around = {path.name for path in self.folder.iterdir()}
        with pytest.raises(OstiaryError, match=message) as caught:
            install(self.archive, self.target, **dict[str, Any](keys=KEYS, prove=trusting) | how)
        assert ".bundle.new" not in str(caught.value)
        assert state(self.folder / "device") == self.before
        assert {path.name for path in self.folder.iterdir()} == around


def state(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
