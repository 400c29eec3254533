"""The packages that bench.peers times: Ostiary, OpenCV and dlib, from a frame to a template."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.faces import geometry, preprocess
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import OstiaryError
from ostiary.edge.models.stages import TURN, random_gallery
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.pipeline import open_pipeline

K = 1000
SLOW_TURN = TURN // 5
"""Frames a turn for dlib, which takes a tenth of a second for each."""
DLIB_DIM = 128
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


class Ostiary:
    """Ostiary's own pipeline on OpenVINO."""

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
    """YuNet on the whole frame, our alignment, and our encoder in OpenCV's own engine."""

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
