"""A whole frame by Ostiary beside OpenCV's own face modules and dlib: one picture, one thread.

Each peer runs as its package sets it up, so the detectors do not all look at the same number of
pixels and OpenVINO may choose a shorter float than the others: the table names what computes.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

# BLAS reads these once, when numpy or dlib loads it: a search on all cores would not be one thread.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import cv2
import numpy as np
import typer
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from ostiary.edge.adapters import photos
from ostiary.edge.cli.bench import TURN, WARM_UP, Spent, random_gallery, spent
from ostiary.edge.cli.console import err, new_app, out, print_json, run
from ostiary.edge.core.faces import geometry, preprocess
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import OstiaryError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.pipeline import open_pipeline

K = 1000
SLOW_TURN = TURN // 5
"""Frames a turn for a peer that takes a tenth of a second for each."""
DLIB_DIM = 128
SAME_FACE_IOU = 0.3
"""Detectors draw a face's box differently; below this overlap it is not the same face."""
INSTALL = "pip install 'ostiary[peers]'"

app = new_app("Time a whole frame of Ostiary beside other face recognition on the same picture.")


class Absent(Exception):
    """A peer that can not take part; the message says what is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a frame gave, to prove that the work was done; `box_px` is x1, y1, x2, y2."""

    box_px: Floats
    embedding: NDArray[Any]


class Peer(Protocol):
    """From a BGR frame to the nearest of K templates. `by` says what computes, and in what."""

    by: str
    frames: int

    def frame(self, image: Image) -> Seen: ...


@dataclass(frozen=True, slots=True)
class Report:
    """One peer's time for a whole frame, also as a multiple of Ostiary's median."""

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

    def frame(self, image: Image) -> Seen:
        pipeline = self._pipeline
        faces = pipeline.faces(image, pipeline.boxes(image)[:1])
        if not faces:
            raise OstiaryError("Ostiary finds no face in the frame")
        embedding = pipeline.probe(pipeline.align(image, faces[0]))
        self._gallery.identify(embedding)
        return Seen(faces[0].box_px, embedding)


class OpenCv:
    """YuNet on the frame as it is, our alignment, and our encoder in OpenCV's own engine."""

    frames = TURN

    def __init__(self, bundle: bundles.Bundle, yunet: Path | None, image: Image) -> None:
        if yunet is None:
            raise Absent("give a YuNet ONNX with --yunet")
        if not yunet.is_file():
            raise Absent(f"there is no file {yunet}")
        # OpenCV 5 warns of a setting of its own that its new engine ignores.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
        self._model = bundle.model("encoder")
        try:
            self._detector = cv2.FaceDetectorYN.create(str(yunet), "", image.shape[1::-1])
            self._encoder = cv2.dnn.readNetFromONNX(str(bundle.path / self._model.file))
        except cv2.error as error:
            raise OstiaryError(
                f"OpenCV can not load {yunet} or the encoder: {error.err}"
            ) from error
        self._rows = _unit_rows(bundle.dim).astype(np.float32)
        self.by = f"OpenCV {cv2.__version__}, f32"

    def frame(self, image: Image) -> Seen:
        _, faces = self._detector.detect(image)
        if faces is None:
            raise OstiaryError("YuNet finds no face in the frame")
        # Of a face: x, y, width, height, five points in the order of ours, the score.
        face = np.asarray(faces[0], np.float32)
        aligned = geometry.align(image, face[4:14].reshape(5, 2), self._model.size_px)
        self._encoder.setInput(preprocess.to_tensor(aligned, self._model.spec))
        raw = np.asarray(self._encoder.forward(), np.float32).reshape(-1)
        embedding = raw / np.linalg.norm(raw)
        np.argmax(self._rows @ embedding)
        return Seen(np.concatenate([face[:2], face[:2] + face[2:4]]), embedding)


class Dlib:
    """HOG detector, five points and ResNet, called as the package face_recognition calls them."""

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

    def frame(self, image: Image) -> Seen:
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        boxes = self._detector(rgb, self._upsample)
        if not boxes:
            raise OstiaryError("dlib finds no face in the frame")
        box = boxes[0]
        face = self._points(rgb, box)
        embedding = np.array(self._encoder.compute_face_descriptor(rgb, face, 1))
        np.argmin(np.linalg.norm(self._rows - embedding, axis=1))
        corners = [box.left(), box.top(), box.right(), box.bottom()]
        return Seen(np.array(corners, np.float32), embedding)


class _Rival:
    """A peer and its times."""

    def __init__(self, name: str, peer: Peer) -> None:
        self.name, self.peer = name, peer
        self._times: list[float] = []

    def prove(self, image: Image) -> Seen:
        """One frame that must find a face and describe it. Raises OstiaryError."""
        try:
            seen = self.peer.frame(image)
        except cv2.error as error:
            reason = error.err.strip().splitlines()[0]
            raise OstiaryError(f"{self.name} fails on the portrait: {reason}") from error
        if not np.isfinite(seen.embedding).all() or not seen.embedding.any():
            raise OstiaryError(f"{self.name} gives an embedding that is zero or not finite")
        return seen

    def turn(self, image: Image) -> None:
        """Some frames on end, the first of them not counted."""
        warm_up = WARM_UP * self.peer.frames // TURN
        for number in range(warm_up + self.peer.frames):
            began = time.perf_counter()
            self.peer.frame(image)
            if number >= warm_up:
                self._times.append(time.perf_counter() - began)

    def report(self, ours: _Rival) -> Report:
        found, base = spent(self._times), spent(ours._times)
        slower = round(found.p50_ms / base.p50_ms, 2)
        return Report(self.name, self.peer.by, len(self._times), found, slower)


@app.command()
def peers(
    bundle: Annotated[Path, typer.Option("--bundle", help="A bundle directory.")],
    yunet: Annotated[
        Path | None, typer.Option(help="YuNet as ONNX, for OpenCV; skipped without it.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=10, help="Frames to time; a fifth for dlib.")] = 300,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Time a whole frame, detection to search, of Ostiary, OpenCV and dlib in turns.

    The frame is the bundle's portrait. A peer that is not installed is skipped, and named.

    Example: `python -m bench.peers --bundle bundle --yunet yunet.onnx`
    """
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
    """Ostiary first, then the peers that are here, and why each of the others is not.

    Raises OstiaryError unless each finds the face that Ostiary finds and describes it.
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
    """The path of one of dlib's models. Raises Absent."""
    # Found, not imported: the package imports pkg_resources, which setuptools no longer ships.
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


def _show(reports: list[Report], skipped: dict[str, str]) -> None:
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
    run(app)
