"""Bias correction: undoes the shift that rounding causes in each output channel's mean.

Rounded weights and clipped inputs shift the mean of a Conv's output, and the shifts add up over
fifty layers. Layer by layer from the input, the mean over real faces is measured in float and in
int8 (with all earlier layers corrected), and the difference is added to the float bias, which costs
nothing at run time (Nagel et al., Data-free quantization through weight equalization and bias
correction, 2019).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats
from ostiary.export.graphs import normal_form, run
from ostiary.export.graphs.run import Images
from ostiary.export.int8 import quantize
from ostiary.export.records.calibration_table import Table

IMAGES = 64
Done = Callable[[int, int], None]


def corrections(
    model: onnx.ModelProto, table: Table, images: Images, spec: InputSpec, done: Done
) -> dict[str, list[float]]:
    """The values to add to the biases of each Conv and Gemm, one per channel, by node name.

    `model` is the equalised float encoder; `table` has its ranges. `done(n, total)` is called after
    each layer.
    """
    batches = list(run.batches(images[:IMAGES], spec))
    rounded = quantize.insert(model, table)
    nodes = [n for n in model.graph.node if n.op_type in quantize.OPERATORS and len(n.input) > 2]
    wanted = _means(model, [node.output[0] for node in nodes], batches)
    held = normal_form.weights(rounded)
    found = {}
    for at, node in enumerate(nodes):
        name, bias = node.output[0], node.input[2]
        shift = wanted[name] - _means(rounded, [name], batches)[name]
        # Five digits are more than 64 images can resolve, and keep the table short.
        found[node.name] = [float(f"{value:.5g}") for value in shift]
        normal_form.put_weights(
            rounded, {bias: (held[bias] + np.array(found[node.name])).astype(np.float32)}
        )
        done(at + 1, len(nodes))
    return found


def _means(model: onnx.ModelProto, names: list[str], batches: list[Floats]) -> dict[str, Floats]:
    """The mean of each channel over images and positions, by tensor: (channels,)."""
    peek = run.Peek(model, names)
    sums: dict[str, Floats] = {}
    count = 0
    for batch in batches:
        count += len(batch)
        for name, values in peek(batch).items():
            by_image = values.reshape(*values.shape[:2], -1).mean(2, dtype=np.float64)
            sums[name] = sums.get(name, 0) + by_image.sum(0)
    return {name: np.asarray(total / count, np.float32) for name, total in sums.items()}
