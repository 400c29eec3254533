"""Time a whole frame of Ostiary, OpenCV's face modules and dlib: one picture, one thread.

Each peer runs as its package sets it up. So the detectors look at different numbers of pixels, and
OpenVINO may compute in a shorter float than the others: the table names what computes.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

# BLAS reads these once, when numpy or dlib loads it. Without them it would search on all cores.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from ostiary.edge.adapters import photos
from ostiary.edge.cli.bench import TURN, WARM_UP, Spent, random_gallery, spent
from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.core.faces import geometry, preprocess
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import OstiaryError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.pipeline import open_pipeline

K = 1000
SLOW_TURN = TURN // 5
"""Frames a turn for dlib, which takes a tenth of a second for each."""
DLIB_DIM = 128
SAME_FACE_IOU = 0.3
"""Detectors draw boxes differently; two boxes that overlap less are not the same face."""
INSTALL = "pip install 'ostiary[peers]'"


class Absent(Exception):
    """This peer cannot take part; the message says what is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """The face and embedding found in a frame, as proof of the work; `box_px` is x1, y1, x2, y2."""

    box_px: Floats
    embedding: NDArray[Any]


class Peer(Protocol):
    """Finds the nearest of K templates in a BGR frame. `by` names library and precision."""

    by: str
    frames: int

    def frame(self, image: Image) -> Recognised: ...


@dataclass(frozen=True, slots=True)
class PeerReport:
    """One peer's times for a whole frame, and their median as a multiple of Ostiary's."""

    rival: str
    by: str
    frames: int
    spent: Spent
    times_as_slow: float


class Ostiary:
    """This package on OpenVINO."""

    frames = TURN

    def __init__(self, bundle: bundles.Bundle) -> None:
        self._pipeline = open_pipeline(bundle, "openvino", 1)
        self._gallery = random_gallery(K, bundle.dim)
        self.by = f"OpenVINO {importlib.metadata.version('openvino')}, {self._pipeline.precision}"

    def frame(self, image: Image) -> Recognised:
        pipeline = self._pipeline
        faces = pipeline.faces(image, pipeline.boxes(image)[:1])
        if not faces:
            raise OstiaryError("Ostiary finds no face in the frame")
        embedding = pipeline.probe(pipeline.align(image, faces[0]))
        self._gallery.identify(embedding)
        return Recognised(faces[0].box_px, embedding)


class OpenCv:
    """YuNet on the frame as it is, our alignment, and our encoder in OpenCV's own engine."""

    frames = TURN

    def __init__(self, bundle: bundles.Bundle, yunet: Path | None, image: Image) -> None:
        if yunet is None:
            raise Absent("no YuNet file was given")
        if not yunet.is_file():
            raise Absent(f"there is no file {yunet}")
        # OpenCV 5 warns of a setting of its own that its new engine ignores.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        self._model = bundle.model("encoder")
        try:
            self._detector = cv2.FaceDetectorYN.create(str(yunet), "", image.shape[1::-1])
            self._encoder = cv2.dnn.readNetFromONNX(str(bundle.path / self._model.file))
        except cv2.error as error:
            raise OstiaryError(f"OpenCV cannot load {yunet} or the encoder: {error.err}") from error
        self._rows = _unit_rows(bundle.dim).astype(np.float32)
        self.by = f"OpenCV {cv2.__version__}, f32"

    def frame(self, image: Image) -> Recognised:
        _, faces = self._detector.detect(image)
        if faces is None:
            raise OstiaryError("YuNet finds no face in the frame")
        # A face's row: x, y, width, height, five points in our order, the score.
        face = np.asarray(faces[0], np.float32)
        aligned = geometry.align(image, face[4:14].reshape(5, 2), self._model.size_px)
        self._encoder.setInput(preprocess.to_tensor(aligned, self._model.spec))
        raw = np.asarray(self._encoder.forward(), np.float32).reshape(-1)
        embedding = raw / np.linalg.norm(raw)
        np.argmax(self._rows @ embedding)
        return Recognised(np.concatenate([face[:2], face[:2] + face[2:4]]), embedding)


class Dlib:
    """dlib's HOG detector, five points and ResNet, called as the package face_recognition does."""

    frames = SLOW_TURN

    def __init__(self, upsample: int) -> None:
        try:
            import dlib
        except ImportError as error:
            raise Absent(f"dlib is not installed: {INSTALL}") from error
        self._upsample = upsample
        self._detector: Any = dlib.get_frontal_face_detector()
        # The five-point model is face_recognition's default for encodings, not the one of 68.
        self._points: Any = dlib.shape_predictor(_dlib_model("shape_predictor_5_face_landmarks"))
        encoder = _dlib_model("dlib_face_recognition_resnet_model_v1")
        self._encoder: Any = dlib.face_recognition_model_v1(encoder)
        self._rows = _unit_rows(DLIB_DIM)
        blas = "with BLAS" if dlib.DLIB_USE_BLAS else "without BLAS"
        self.by = f"dlib {dlib.__version__}, f32, {blas}"

    def frame(self, image: Image) -> Recognised:
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        boxes = self._detector(rgb, self._upsample)
        if not boxes:
            raise OstiaryError("dlib finds no face in the frame")
        box = boxes[0]
        face = self._points(rgb, box)
        embedding = np.array(self._encoder.compute_face_descriptor(rgb, face, 1))
        np.argmin(np.linalg.norm(self._rows - embedding, axis=1))
        corners = [box.left(), box.top(), box.right(), box.bottom()]
        return Recognised(np.array(corners, np.float32), embedding)


class _Rival:
    """A peer and the times it took."""

    def __init__(self, name: str, peer: Peer) -> None:
        self.name, self.peer = name, peer
        self._times: list[float] = []

    def prove(self, image: Image) -> Recognised:
        """Run one frame. Raises OstiaryError unless it gives a face and a usable embedding."""
        try:
            seen = self.peer.frame(image)
        except cv2.error as error:
            reason = error.err.strip().splitlines()[0]
            raise OstiaryError(f"{self.name} fails on the portrait: {reason}") from error
        if not np.isfinite(seen.embedding).all() or not seen.embedding.any():
            raise OstiaryError(f"{self.name} gives an embedding that is zero or not finite")
        return seen

    def turn(self, image: Image) -> None:
        """Time some frames in a row, after a few that are not counted."""
        warm_up = WARM_UP * self.peer.frames // TURN
        for number in range(warm_up + self.peer.frames):
            began = time.perf_counter()
            self.peer.frame(image)
            if number >= warm_up:
                self._times.append(time.perf_counter() - began)

    def report(self, ours: _Rival) -> PeerReport:
        found, base = spent(self._times), spent(ours._times)
        slower = round(found.p50_ms / base.p50_ms, 2)
        return PeerReport(self.name, self.peer.by, len(self._times), found, slower)


def parser() -> argparse.ArgumentParser:
    """The options of this benchmark."""
    options = argparse.ArgumentParser(
        prog="python -m bench.peers",
        description="Time a whole frame, detection to search, of Ostiary, OpenCV and dlib in turns."
        " The frame is the bundle's portrait. A peer that is not installed is skipped, and named.",
        epilog="example: python -m bench.peers --bundle bundle --yunet yunet.onnx",
    )
    options.add_argument("--bundle", type=Path, required=True, help="bundle directory")
    options.add_argument("--yunet", type=Path, help="YuNet ONNX file; without it OpenCV is skipped")
    options.add_argument(
        "--rounds", type=_rounds, default=300, help="frames to time, 10 or more; a fifth for dlib"
    )
    options.add_argument("--json", action="store_true", help="print one JSON document")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the times; exit code 2 if something is missing or a peer finds no face."""
    given = parser().parse_args(arguments)
    try:
        _compare(given.bundle, given.yunet, given.rounds, given.json)
    except OstiaryError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _rounds(text: str) -> int:
    if (rounds := int(text)) < 10:
        raise argparse.ArgumentTypeError(f"expected 10 or more, got {text}")
    return rounds


def _compare(bundle: Path, yunet: Path | None, rounds: int, json: bool) -> None:
    cv2.setNumThreads(1)
    loaded = bundles.load(bundle)
    image = photos.decode(loaded.golden()["portrait"].tobytes(), "the bundle's portrait")
    rivals, skipped = _open(loaded, yunet, image)
    with err.status("timing"):
        for _ in range(math.ceil(rounds / TURN)):
            for rival in rivals:
                rival.turn(image)
    reports = [rival.report(rivals[0]) for rival in rivals]
    if json:
        return print_json({"gallery": K, "peers": reports, "skipped": skipped})
    _show(reports, skipped)


def _open(
    bundle: bundles.Bundle, yunet: Path | None, image: Image
) -> tuple[list[_Rival], dict[str, str]]:
    """Ostiary, the peers that are installed, and why each skipped peer is missing.

    Raises OstiaryError if a peer does not find and describe the face that Ostiary finds.
    """
    openers: dict[str, Callable[[], Peer]] = {
        "OpenCV: YuNet, our encoder": partial(OpenCv, bundle, yunet, image),
        "dlib HOG": partial(Dlib, upsample=0),
        "dlib as face_recognition sets it": partial(Dlib, upsample=1),
    }
    rivals, skipped = [_Rival("Ostiary", Ostiary(bundle))], {}
    for name, opener in openers.items():
        try:
            rivals.append(_Rival(name, opener()))
        except Absent as absent:
            skipped[name] = str(absent)
    ours = rivals[0].prove(image)
    for rival in rivals[1:]:
        if geometry.iou(rival.prove(image).box_px, ours.box_px) < SAME_FACE_IOU:
            raise OstiaryError(f"{rival.name} finds another face than Ostiary")
    return rivals, skipped


def _dlib_model(name: str) -> str:
    """The path of a dlib model file. Raises Absent."""
    # The package itself is not imported: it needs pkg_resources, which setuptools no longer ships.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise Absent(f"face_recognition_models is not installed: {INSTALL}")
    file = Path(spec.submodule_search_locations[0]) / "models" / f"{name}.dat"
    if not file.is_file():
        raise Absent(f"face_recognition_models has no {file.name}")
    return str(file)


def _unit_rows(dim: int) -> NDArray[np.float64]:
    """K random unit vectors, seeded."""
    rows = np.random.default_rng(0).standard_normal((K, dim))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _show(reports: list[PeerReport], skipped: dict[str, str]) -> None:
    table = Table(title=f"640x480, one face, detection to search at K={K}, 1 thread")
    table.add_column("rival")
    table.add_column("by")
    for column in ("p50 ms", "p95 ms", "times as slow"):
        table.add_column(column, justify="right")
    for report in reports:
        figures = (report.spent.p50_ms, report.spent.p95_ms, report.times_as_slow)
        table.add_row(report.rival, report.by, *(f"{figure:.2f}" for figure in figures))
    out.print(table)
    for name, reason in skipped.items():
        out.print(escape(f"skipped {name}: {reason}"))


if __name__ == "__main__":
    sys.exit(main())
