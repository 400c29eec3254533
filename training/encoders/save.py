"""Writes a trained encoder as ONNX, with the description that `ostiary-export build` reads."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec
import onnx

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.files import write_atomically
from ostiary.export.faces import learned
from ostiary.export.graphs import normal_form
from ostiary.export.sources import torch_forms
from ostiary.export.sources.load import load_source
from ostiary.export.sources.spec import EncoderSource
from ostiary.training.encoders.architectures import Encoder, Stack
from ostiary.training.encoders.onnx_encoder import OnnxEncoder

ENCODER, DESCRIPTION = "encoder.onnx", "encoder.toml"


def to_onnx(encoder: Encoder) -> onnx.ModelProto:
    """The encoder as ONNX in the form of every bundle; the hash of this file is the encoder's id.

    An encoder that was loaded from ONNX keeps its graph. Raises BundleError if the graph does not
    compute what the encoder does.
    """
    if isinstance(encoder, OnnxEncoder):
        return encoder.to_onnx()
    was = encoder.training
    # Leave out the scaling to unit length: the export adds it in a form that TensorRT reads.
    raw = encoder.layers if isinstance(encoder, Stack) else encoder
    try:
        made = torch_forms.of_module(raw, described(encoder.spec))
    finally:
        encoder.train(was)
    return normal_form.normalise(made, encoder.spec)


def described(
    spec: InputSpec,
    licence: str = "not stated",
    photos: str | None = None,
    warnings: Sequence[str] = (),
) -> EncoderSource:
    """The encoder's description for the export; `photos` is the file that lists the photos it
    learned from, `warnings` what its bundle and the door must say of it."""
    return EncoderSource(
        source=ENCODER,
        size_px=spec.size_px,
        channels=spec.channels,  # type: ignore[arg-type]
        mean=spec.mean,
        scale=spec.scale,
        licence=licence,
        learned=photos,
        warnings=list(warnings),
    )


def write(
    encoder: Encoder,
    folder: Path,
    licence: str = "not stated",
    photos: Collection[str] = (),
    warnings: Sequence[str] = (),
) -> Path:
    """Write `encoder.onnx` and `encoder.toml` into a folder; returns the path of `encoder.toml`.

    `photos` are the ids of the photos that the encoder learned from. They are listed in
    `learned.json`, so that the export leaves the people on them out of every evaluation. `warnings`
    go into the bundle, and a door says them at every start. The encoder is written exactly as the
    export will write it, so that its id is already final. Raises BundleError.
    """
    spec = described(encoder.spec, licence, learned.FILE if photos else None, warnings)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / ENCODER).write_bytes(normal_form.to_bytes(to_onnx(encoder)))
        settled = normal_form.normalise(load_source(spec, Path(name)), encoder.spec)
    write_atomically(folder / ENCODER, normal_form.to_bytes(settled))
    if photos:
        write_atomically(folder / learned.FILE, learned.to_text(photos))
    # The limits are left out: they are the usual ones until the user sets others.
    held = {**msgspec.to_builtins(spec), "limits": None}
    fields = {k: v for k, v in held.items() if v not in (None, [])}
    write_atomically(folder / DESCRIPTION, msgspec.toml.encode(fields))
    return folder / DESCRIPTION
