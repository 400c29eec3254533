"""Turns weights that are stored in few bits back into float32 weights, and drops what only
training needs."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from ostiary.edge.errors import BundleError
from ostiary.export.graphs import reading as graphs
from ostiary.export.graphs.reading import Constant

FOLDED = ("DequantizeLinear", "Reshape")
FLOAT = TensorProto.FLOAT


def in_float(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """A copy of a model that computes the same from plain float32 weights.

    Each DequantizeLinear of constants becomes the float32 weights that it gives, and so does each
    Reshape of constants. A DequantizeLinear of what depends on the image stays. Dropout and graph
    inputs that no node reads are left out. Raises BundleError, naming `where` and the node, if the
    scales do not fit the weights.
    """
    made: onnx.ModelProto = onnx.ModelProto.FromString(model.SerializeToString())
    drop_unread(made.graph)
    _fold(made.graph, where)
    _skip_dropouts(made)
    graphs.prune(made.graph)
    return made


def drop_unread(graph: onnx.GraphProto) -> None:
    """Drop the graph inputs that no node reads, except those of the shape of one that is read.

    A tool that stores weights in fewer bits may leave the name of the float weights behind among
    the inputs. An input shaped like the image is a second image, and is for the caller to judge.
    """
    read = _read(graph)
    images = [_shape(value) for value in graphs.feeds(graph) if value.name in read]
    if not images:
        return
    kept = [
        onnx.ValueInfoProto.FromString(value.SerializeToString())
        for value in graph.input
        if value.name in read or _shape(value) in images
    ]
    del graph.input[:]
    graph.input.extend(kept)


def dequantized(
    codes: Constant, scale: NDArray[np.float32], zero: Constant | None, axis: int, block: int
) -> NDArray[np.float32]:
    """(codes - zero) * scale, the formula of DequantizeLinear in ONNX's operator specification.

    `codes` has any shape. `scale` has one value, or one for each index of `axis`, or, if `block` is
    not 0, one for each `block` codes along `axis` (the last block may be shorter). `zero` has the
    shape of `scale`. Raises ValueError if the shapes do not fit.
    """
    wide = _spread(scale, codes.shape, axis, block)
    centred = codes.astype(np.float32)
    if zero is not None:
        centred = centred - _spread(zero.astype(np.float32), codes.shape, axis, block)
    return np.asarray(centred * wide, np.float32)


def _spread(
    values: NDArray[np.float32], shape: tuple[int, ...], axis: int, block: int
) -> NDArray[np.float32]:
    """Scales or zero points in a form that broadcasts to the codes' shape."""
    if block:
        axis = range(len(shape))[axis]
        blocks = -(-shape[axis] // block)
        if values.shape != (*shape[:axis], blocks, *shape[axis + 1 :]):
            raise ValueError(f"{values.shape} for blocks of {block} on axis {axis} of {shape}")
        return values.repeat(block, axis).take(range(shape[axis]), axis)
    if values.size == 1:
        return values.reshape(())
    if not -len(shape) <= axis < len(shape) or values.shape != (shape[axis],):
        raise ValueError(f"{values.shape} on axis {axis} of {shape}")
    axis = range(len(shape))[axis]
    return values.reshape([-1 if at == axis else 1 for at in range(len(shape))])


def _fold(graph: onnx.GraphProto, where: str) -> None:
    known = graphs.constants(graph)
    kept = []
    for node in graph.node:
        value = _value(node, known, where)
        if value is None:
            kept.append(onnx.NodeProto.FromString(node.SerializeToString()))
            continue
        known[node.output[0]] = value
        graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    del graph.node[:]
    graph.node.extend(kept)


def _value(node: onnx.NodeProto, known: dict[str, Constant], where: str) -> Constant | None:
    """What a node gives if it can be computed here and now, else None."""
    names = [name for name in node.input if name]
    if node.op_type not in FOLDED or len(names) < 2 or not all(name in known for name in names):
        return None
    first, second, *rest = (known[name] for name in names)
    options = {item.name: item.i for item in node.attribute}
    try:
        if node.op_type == "Reshape":
            return _reshaped(first, second, bool(options.get("allowzero", 0)))
        if second.dtype != np.float32 or options.get("output_dtype", FLOAT) != FLOAT:
            return None
        axis, block = options.get("axis", 1), options.get("block_size", 0)
        return dequantized(first, second, rest[0] if rest else None, axis, block)
    except (ValueError, IndexError) as error:
        raise BundleError(
            f"{where}: the scales or the shape of {graphs.label(node)} do not fit its weights:"
            f" {error}",
            "export or quantize it again",
        ) from error


def _reshaped(value: Constant, shape: Constant, allow_zero: bool) -> Constant:
    """Reshape of ONNX: 0 keeps a dimension, unless zeros are allowed."""
    kept = [value.shape[at] if dim == 0 and not allow_zero else dim for at, dim in enumerate(shape)]
    return value.reshape(kept)


def _skip_dropouts(model: onnx.ModelProto) -> None:
    """Let whoever reads from a Dropout read from what it reads."""
    graph, known = model.graph, graphs.constants(model.graph)
    read = _read(graph)
    for node in graph.node:
        if node.op_type == "Dropout" and _is_idle(node, known) and not read & {*node.output[1:]}:
            skipped = node.output[0]
            node.output[0] = ""
            graphs.rename(graph, {skipped: node.input[0]})


def _is_idle(node: onnx.NodeProto, known: dict[str, Constant]) -> bool:
    """Whether a Dropout changes nothing, as when an encoder is used and not trained."""
    trains = known.get(node.input[2], True) if len(node.input) > 2 and node.input[2] else False
    return not bool(trains)


def _read(graph: onnx.GraphProto) -> set[str]:
    """The tensors that a node reads or the graph returns."""
    names = {name for node in graph.node for name in graphs.takes(node)}
    return names | {output.name for output in graph.output}


def _shape(value: onnx.ValueInfoProto) -> list[int | str]:
    """The dimensions of one item of a graph input; the batch is left out."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value or dim.dim_param for dim in dims][1:]
