"""A trained encoder as ONNX, and the description that `ostiary-export build` takes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import onnx

from edge.core.preprocess import InputSpec
from edge.files import write_atomically
from export import graph
from export.sources import torch_forms
from export.sources.load import load_source
from export.sources.spec import EncoderSource
from training.encoders import Encoder, Stack
from training.onnx_encoder import OnnxEncoder

ENCODER, DESCRIPTION = "encoder.onnx", "encoder.toml"


def to_onnx(encoder: Encoder) -> onnx.ModelProto:
    """The encoder in the form of every bundle: what the door runs, and its id is this file's hash.

    An encoder that came as ONNX keeps its graph. Raises BundleError where the graph does not
    compute what the encoder does.
    """
    if isinstance(encoder, OnnxEncoder):
        return encoder.to_onnx()
    was = encoder.training
    # Without the division by the length, which is written there in a form that TensorRT reads.
    raw = encoder.layers if isinstance(encoder, Stack) else encoder
    try:
        made = torch_forms.of_module(raw, described(encoder.spec))
    finally:
        encoder.train(was)
    return graph.normalise(made, encoder.spec)


def described(spec: InputSpec, licence: str = "not stated") -> EncoderSource:
    """What the export must know of an encoder trained here."""
    return EncoderSource(
        source=ENCODER,
        size_px=spec.size_px,
        channels=spec.channels,  # type: ignore[arg-type]
        mean=spec.mean,
        scale=spec.scale,
        licence=licence,
    )


def write(encoder: Encoder, folder: Path, licence: str = "not stated") -> Path:
    """Write `encoder.onnx` and `encoder.toml` into a folder; the latter's path.

    The file is as the export will write it again, so that the encoder's id is known here already.
    Raises BundleError.
    """
    spec = described(encoder.spec, licence)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / ENCODER).write_bytes(graph.to_bytes(to_onnx(encoder)))
        settled = graph.normalise(load_source(spec, Path(name)), encoder.spec)
    write_atomically(folder / ENCODER, graph.to_bytes(settled))
    fields = {k: v for k, v in msgspec.to_builtins(spec).items() if v is not None}
    write_atomically(folder / DESCRIPTION, msgspec.toml.encode(fields))
    return folder / DESCRIPTION
