"""Runs models on random images: proves that any batch works and that no result changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.onnxrt import FAILURES
from ostiary.export.graphs import reading as graphs
from ostiary.export.sources.spec import EncoderSource

MAX_DIFFERENCE = 1e-4
"""The largest allowed difference between two runtimes, relative to the largest output or to 1."""
BLOCKS_PX = (1, 4, 16)

Array = NDArray[Any]


def probes(spec: EncoderSource) -> Array:
    """Three images of noise (3, c, h, w), from fine to coarse, scaled to the encoder's input."""
    rng = np.random.default_rng(0)
    images = []
    for block in BLOCKS_PX:
        channels, height, width = spec.shape
        noise = rng.integers(0, 256, (channels, -(-height // block), -(-width // block)))
        images.append(noise.repeat(block, 1).repeat(block, 2)[:, :height, :width])
    return np.asarray((np.stack(images) - spec.mean) / spec.scale, np.float32)


def runner(model: onnx.ModelProto, outputs: list[str] | None = None) -> Callable[..., list[Array]]:
    """The model as a function of its images, which returns its outputs or those named."""
    import onnxruntime

    wanted = onnx.ModelProto.FromString(model.SerializeToString())
    if outputs is not None:
        del wanted.graph.output[:]
        wanted.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            wanted.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except FAILURES as error:
        raise BundleError(f"ONNX Runtime cannot load the encoder: {_line(error)}") from error
    names = [value.name for value in graphs.feeds(wanted.graph)]

    def run(*images: Array) -> list[Array]:
        try:
            results = session.run(None, dict(zip(names, images, strict=True)))
        except FAILURES as error:
            size = " and ".join(str(image.shape) for image in images)
            raise BundleError(
                f"ONNX Runtime cannot run the encoder on {size}: {_line(error)}",
                "export it with a batch of any size, after .eval()",
            ) from error
        return [np.asarray(result) for result in results]

    return run


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def same(got: Array, expected: Array, what: str, hint: str = "") -> None:
    """Raise BundleError if two results differ by more than two runtimes may."""
    if got.shape != expected.shape:
        raise BundleError(f"{what}: {got.shape} instead of {expected.shape}", hint)
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    difference = float(np.abs(got - expected).max(initial=0))
    if not difference <= MAX_DIFFERENCE * scale:
        raise BundleError(
            f"{what}: the difference is {difference:.2g}, {MAX_DIFFERENCE * scale:.0e} is allowed",
            hint,
        )


def prove(model: onnx.ModelProto, spec: EncoderSource, reference: Callable[[Array], Array]) -> None:
    """Raise BundleError unless embeddings depend on each image alone and match the original's."""
    run, images = runner(model), probes(spec)
    rows = run(images)[0]
    if not np.isfinite(rows).all():
        raise BundleError(f"the embeddings of {spec.source} are not finite numbers")
    for image, row in zip(images, rows, strict=True):
        alone = run(image[None])[0]
        same(
            row[None],
            alone,
            f"{spec.source} gives an image another embedding in a batch than alone",
            "export it after .eval(), with a batch of any size",
        )
        original = reference(image[None]).reshape(alone.shape)
        same(alone, original, f"the exported encoder differs from {spec.source}")
    if np.abs(rows - rows[0]).max() <= 1e-6 * np.abs(rows).max():
        raise BundleError(
            f"{spec.source} gives every image the same embedding",
            "check that its weights are trained, and that mean and scale are those of the training",
        )
