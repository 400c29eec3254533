"""Golden vectors: inputs and outputs that a backend must reproduce before a door uses it."""

from __future__ import annotations

import io
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.faces import geometry
from ostiary.edge.core.types import Face, Image
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.manifest import PAD, ModelEntry
from ostiary.edge.runtime.onnxrt import OnnxRuntimeBackend
from ostiary.edge.vision.pipeline import Pipeline

TOLERANCE = {
    "detector": 0.06,
    "landmarks": 0.002,
    PAD: 0.3,
    "encoder": 0.015,
    "encoder_int8": 0.03,
}
"""Largest allowed difference of any output value.

Two float32 backends differ by less than 1e-5 here. OpenVINO on a CPU with bfloat16 matrix units
differs by up to .038, .0006, .12 and .0076 (detector, landmarks, PAD, encoder) at the same TAR.
Swapped red and blue, which must be noticed, change them by .19, .0036, 2.4 and .046 or more.
A further passive model gives logits as well, and has the tolerance of `pad`.
"""


def make(bundle: Bundle) -> bytes:
    """`golden.npz` of a bundle whose models are in place, computed by ONNX Runtime in float.

    Holds `<model>.images` (n, h, w, 3) uint8 BGR, `<model>.outputs` (n, values) float32,
    `<model>.tolerance`, and `portrait`, the bytes of a 640x480 JPEG with one face.
    """
    backend = OnnxRuntimeBackend(threads=1)
    runners = {
        name: backend.load(bundle.path / model.file, model)
        for name, model in bundle.manifest.models.items().items()
    }
    encoded = (resources.files("ostiary.export") / "assets" / "portrait.jpg").read_bytes()
    portrait = np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR))
    pipeline = Pipeline(bundle, golden.ProvenRunners(backend.name, dict(runners), ()))
    faces = pipeline.find(portrait)
    if not faces:
        raise BundleError(
            "the detector finds no face in the portrait that Ostiary tests every bundle with",
            "check the detector's size_px, channels, mean and scale in the recipe",
        )
    arrays: dict[str, NDArray[np.generic]] = {"portrait": np.frombuffer(encoded, np.uint8)}
    inputs = _inputs(pipeline, portrait, faces[0])
    for name, model in bundle.manifest.models.items().items():
        image = inputs[name]
        images = _variants(_sized(image, model.size_px))
        arrays[f"{name}.images"] = images
        arrays[f"{name}.outputs"] = golden.outputs(runners[name], name, model, images)
        arrays[f"{name}.tolerance"] = np.array(TOLERANCE.get(name, TOLERANCE[PAD]))
        if name in bundle.manifest.models.passive:
            _check_classes(name, model, arrays[f"{name}.outputs"].shape[1])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _check_classes(name: str, model: ModelEntry, classes: int) -> None:
    if classes < 2 or model.live >= classes:
        raise BundleError(
            f"{name} gives {classes} values, and `live` is {model.live}",
            "give a model of one logit for each of two or more classes, and the live one's index",
        )


def _inputs(pipeline: Pipeline, portrait: Image, face: Face) -> dict[str, Image]:
    passive = pipeline.bundle.manifest.models.passive
    return {
        "detector": portrait,
        "landmarks": geometry.crop(portrait, face.box_px),
        "encoder": pipeline.align(portrait, face),
        "encoder_int8": pipeline.align(portrait, face),
    } | {
        name: geometry.surroundings(portrait, face.box_px, model.box_factor)
        for name, model in passive.items()
    }


def _sized(image: Image, size_px: tuple[int, int]) -> Image:
    return np.asarray(cv2.resize(image, (size_px[1], size_px[0])), np.uint8)


def _variants(image: Image) -> NDArray[np.uint8]:
    """The image, then mirrored, darker, blurred and noisy copies: (5, h, w, 3)."""
    noise = np.random.default_rng(0).normal(0, 12, image.shape)
    return np.stack(
        [
            image,
            image[:, ::-1],
            (image * 0.5).astype(np.uint8),
            np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8),
            np.clip(image + noise, 0, 255).astype(np.uint8),
        ]
    )
