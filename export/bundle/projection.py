"""Shorter templates: a linear projection after the encoder, fitted on faces (PCA)."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form, run


def project(
    model: onnx.ModelProto, spec: InputSpec, crops: Crops, dim: int
) -> tuple[onnx.ModelProto, float]:
    """The encoder with embeddings of `dim` values, and the share (0 to 1) of variance they keep.

    The projection takes the principal components of the photos' unit embeddings about their mean
    (Pearson 1901); its result is scaled to unit length again. Raises PhotoError if `dim` does not
    shorten the embeddings, or if there are fewer than 2 * dim photos.
    """
    rows = run.embed(normal_form.to_bytes(model), crops.images, spec).astype(np.float64)
    if not 1 <= dim < rows.shape[1]:
        raise PhotoError(
            f"templates of {rows.shape[1]} values cannot be shortened to {dim}",
            f"choose 1 to {rows.shape[1] - 1}",
            option="dim",
        )
    if len(rows) < 2 * dim:
        raise PhotoError(
            f"{len(rows)} photos are too few to fit {dim} components",
            f"give photos of {2 * dim} people or more",
        )
    mean = rows.mean(0)
    _, sizes, axes = np.linalg.svd(rows - mean, full_matrices=False)
    # The sign of a component is arbitrary. Fix it, so that the same photos give the same templates.
    turned = axes[:dim] * np.sign(axes[:dim].sum(1, keepdims=True))
    kept = float((sizes[:dim] ** 2).sum() / (sizes**2).sum())
    return _appended(model, turned.astype(np.float32), (-turned @ mean).astype(np.float32)), kept


def _appended(model: onnx.ModelProto, matrix: Floats, bias: Floats) -> onnx.ModelProto:
    made = normal_form.copy(model)
    for node in made.graph.node:
        node.input[:] = ["whole" if name == normal_form.OUTPUT else name for name in node.input]
        node.output[:] = ["whole" if name == normal_form.OUTPUT else name for name in node.output]
    made.graph.initializer.extend(
        [
            numpy_helper.from_array(matrix, "projection"),
            numpy_helper.from_array(bias, "projection_bias"),
        ]
    )
    made.graph.node.append(
        helper.make_node(
            "Gemm", ["whole", "projection", "projection_bias"], [normal_form.OUTPUT], transB=1
        )
    )
    normal_form.append_unit_length(made)
    made.graph.output[0].type.tensor_type.shape.dim[1].dim_value = len(matrix)
    normal_form.finish(made)
    return made
