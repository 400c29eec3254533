"""Measures each layer's cost in int8, and finds the fewest float layers that pass the gate."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import onnx

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.scores.metrics import tar_at_fmr
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime.bundle import sha256
from ostiary.export.faces.crops import Crops
from ostiary.export.faces.pairs import all_pairs
from ostiary.export.graphs import normal_form, run
from ostiary.export.int8 import bias_correction, calibrate, equalise, quantize
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import LayerCost, LayerCosts

IMAGES = 400
FMR = 1e-3
Done = Callable[[int, int], None]
Passes = Callable[[Table], bool]


def measure(
    model: onnx.ModelProto, table: Table, crops: Crops, spec: InputSpec, done: Done
) -> LayerCosts:
    """The cost of each Conv and Gemm in int8 with all others in float, on at most 400 images.

    The table's bias corrections and trained steps are not applied: both assume that every layer is
    int8. The photos used to calibrate are left out. Raises PhotoError if nobody has two other
    photos.
    """
    kept = crops.without(table.photos)
    several = np.flatnonzero(np.bincount(kept.person)[kept.person] > 1)[:IMAGES]
    if not len(several):
        raise PhotoError(
            f"no person has two of the {len(kept)} photos that were not used to calibrate",
            "give several photos of each person",
        )
    chosen = kept.only(several)
    equal = equalise.apply(model, table.exponents)
    base = run.embed(normal_form.to_bytes(equal), chosen.images, spec)
    nodes = [node for node in equal.graph.node if node.op_type in quantize.OPERATORS]
    held = normal_form.weights(equal)
    costs = []
    for at, node in enumerate(nodes):
        others = {other.name: "" for other in nodes if other is not node}
        alone = quantize.insert(equal, msgspec.structs.replace(table, floats=others, steps={}))
        rows = run.embed(normal_form.to_bytes(alone), chosen.images, spec)
        costs.append(
            LayerCost(
                node.name,
                node.op_type,
                normal_form.is_depthwise(node, held),
                float(1 - np.einsum("ij,ij->i", base, rows).mean()),
                _tar(base, chosen) - _tar(rows, chosen),
            )
        )
        done(at + 1, len(nodes))
    return LayerCosts(
        sha256(normal_form.to_bytes(model)), len(chosen), FMR, costs, dict(table.floats)
    )


def _tar(embeddings: Floats, crops: Crops) -> float:
    return tar_at_fmr(all_pairs(embeddings, embeddings, crops.person)[2], FMR)


def search(
    model: onnx.ModelProto,
    table: Table,
    crops: Crops,
    spec: InputSpec,
    layers: LayerCosts,
    passes: Passes,
    say: Callable[[str], None],
) -> Table:
    """The table that passes the gate with the fewest layers in float, the costliest first.

    The number of float layers is doubled until the gate passes, then bisected, assuming that one
    more float layer never hurts. Raises BundleError if the gate fails with all layers but one in
    float.
    """
    order = sorted(layers.costs, key=lambda cost: -cost.cosine)
    images = calibrate.by_id(crops, table.photos)
    tried: dict[int, Table] = {}

    def good(count: int) -> bool:
        say(f"trying with the {count} costliest of {len(order)} layers in float")
        tried[count] = _with_floats(model, table, order, count, images, spec)
        return passes(tried[count])

    high = 1
    while not good(high):
        if high >= len(order) - 1:
            raise BundleError(
                "the gate fails even with all layers but one in float",
                "int8 is not at fault: look at the gate's other findings",
            )
        high = min(high * 2, len(order) - 1)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return tried[high]


def _with_floats(
    model: onnx.ModelProto,
    table: Table,
    order: list[LayerCost],
    count: int,
    images: Crops,
    spec: InputSpec,
) -> Table:
    reasons = {
        cost.node: "the gate fails with this layer in int8;"
        f" alone it costs {cost.cosine:.5f} of cosine, rank {rank} of {len(order)}"
        for rank, cost in enumerate(order[:count], 1)
    }
    chosen = msgspec.structs.replace(table, floats=reasons, biases={})
    equal = equalise.apply(model, table.exponents)
    found = bias_correction.corrections(equal, chosen, images.images, spec, lambda at, total: None)
    return msgspec.structs.replace(chosen, biases=found)
