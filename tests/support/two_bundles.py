"""A profile with two tiny bundles, between which the door chooses when it starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from ostiary.edge.config import Config
from ostiary.edge.models.changeover import Changeover
from ostiary.edge.models.choose import Chosen, choose_models
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import GOLDEN, MANIFEST
from ostiary.edge.runtime.det import DET_CURVE, Counts, DetFile
from ostiary.edge.runtime.manifest import Manifest
from ostiary.edge.sections import BundleSection, CameraSection, DeviceSection, StateSection
from tests.support import tiny_bundle


class Two:
    """A profile with two tiny bundles, and the encoders of each subject's templates."""

    def __init__(self, folder: Path) -> None:
        self.now, self.after = (with_curve(folder / name, n) for n, name in enumerate(("a", "b")))
        keys = folder / "keys"
        keys.mkdir()
        (keys / "factory.pub").write_text(next(iter(tiny_bundle.KEYS.trusted)))
        choice = BundleSection(path=self.now, next=self.after, keys=keys, backend="onnxruntime")
        self.config = Config(
            device=DeviceSection(site="hq", id="door"),
            bundle=choice,
            camera=CameraSection(url="v4l2:"),
            state=StateSection(path=folder / "state"),
        )
        self.config.state.path.mkdir()
        self.old, self.new = (bundles.read(p).encoder_id for p in (self.now, self.after))
        self.people: list[set[str]] = [{self.old, self.new}, {self.old, self.new}]

    def start(self, following: Path | None = None) -> Chosen:
        """The models that the door chooses when it starts."""
        choice = msgspec.structs.replace(self.config.bundle, next=following or self.after)
        return self._chosen(msgspec.structs.replace(self.config, bundle=choice))

    def start_without_next(self) -> Chosen:
        choice = msgspec.structs.replace(self.config.bundle, next=None)
        return self._chosen(msgspec.structs.replace(self.config, bundle=choice))

    def _chosen(self, config: Config) -> Chosen:
        chosen = choose_models(config, lambda: self.people)
        chosen.pipeline.close()
        return chosen

    def stays(self, chosen: Chosen) -> None:
        assert chosen.pipeline.bundle.encoder_id == self.old

    def has_changed(self, chosen: Chosen) -> None:
        assert chosen.pipeline.bundle.encoder_id == self.new
        assert chosen.changeover == Changeover()


def with_curve(folder: Path, seed: int) -> Path:
    """A tiny bundle from which a threshold can be derived."""
    tiny_bundle.make(folder, seed)
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    counts = Counts(40_000, 10, [40_000, 4000, 40], [0, 1, 5])
    curve = DetFile(manifest.encoder_id, "made up", 1, 1, [0.0, 0.2, 0.4], counts)
    (folder / DET_CURVE).write_bytes(msgspec.json.encode(curve))
    rewrite(folder, [*manifest.files, DET_CURVE])
    return folder


def rewrite(folder: Path, names: Iterable[str], warnings: Sequence[str] = ()) -> None:
    """Sign the files of a bundle as they are now."""
    files = {name: (folder / name).read_bytes() for name in names}
    tiny_bundle.write_manifest(folder, files, warnings=warnings)


def warn(folder: Path, *warnings: str) -> None:
    """Put warnings into the manifest of a bundle, and sign it again."""
    rewrite(folder, bundles.read(folder).manifest.files, warnings)


def wrong_golden(folder: Path) -> None:
    with np.load(folder / GOLDEN) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    found["encoder.outputs"] = -found["encoder.outputs"]
    (folder / GOLDEN).write_bytes(tiny_bundle.golden(found))
    rewrite(folder, msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest).files)
