"""Converts any form of a trained encoder to one ONNX model: images in, embeddings out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from ostiary.edge.errors import BundleError, ConfigError
from ostiary.export.graphs import reading as graphs
from ostiary.export.sources import (
    dequantize,
    onnx_file,
    pair,
    ports,
    proof,
    tidy,
    torch_forms,
)
from ostiary.export.sources.spec import EncoderSource

SCRIPTS = (".pt", ".ts", ".torchscript")
FORMS = f".onnx, .pt2, {', '.join(SCRIPTS)}, or package.module:factory"


def load_source(spec: EncoderSource, folder: Path) -> onnx.ModelProto:
    """Load an encoder as ONNX: float32 `input` (n, c, h, w) to `embedding` (n, dim).

    Weights that are stored in few bits become float32. Paths in `spec` are relative to `folder`.
    The opset is 17 if the operators allow it. The result is run in batches of 1 and 3, and compared
    with the original. Raises BundleError and ConfigError.
    """
    original = onnx_file.sound(_read(spec, folder), spec.source)
    tidy.check(original, spec.source)
    dequantize.drop_unread(original.graph)
    batch = _batch(original)
    model = dequantize.in_float(original, spec.source)
    ports.settle_inputs(model.graph, spec)
    embedding = None
    if spec.pair:
        embedding = pair.extract(model.graph, spec)
    ports.check_outputs(model.graph, spec)
    given = proof.runner(original, [embedding] if embedding else None)
    inputs = len(graphs.feeds(original.graph))

    def reference(image: proof.Array) -> proof.Array:
        """The original's embedding of one image, as the original may accept no other batch size."""
        return given(*[np.repeat(image, batch, axis=0)] * inputs)[0][:1]

    shape = reference(proof.probes(spec)[:1]).shape
    ports.settle_output(model.graph, shape, spec)
    ports.name_ports(model.graph)
    model = tidy.strip(tidy.to_opset(tidy.strip(model), spec.source))
    tidy.check(model, spec.source)
    proof.prove(model, spec, reference)
    return model


def _batch(model: onnx.ModelProto) -> int:
    dims = [value.type.tensor_type.shape.dim for value in graphs.feeds(model.graph)]
    return (dims[0][0].dim_value if dims and dims[0] else 0) or 1


def _read(spec: EncoderSource, folder: Path) -> onnx.ModelProto:
    if spec.factory:
        return torch_forms.module(spec, folder)
    path = folder / spec.source
    suffix = path.suffix.lower()
    if suffix not in (".onnx", ".pt2", *SCRIPTS):
        raise ConfigError(f"source {spec.source!r} has no known form", f"give one of {FORMS}")
    if not path.is_file():
        raise BundleError(f"no file {path}", "source is relative to the TOML file")
    if suffix == ".onnx":
        return onnx_file.read(path)
    return torch_forms.program(path, spec) if suffix == ".pt2" else torch_forms.script(path, spec)
