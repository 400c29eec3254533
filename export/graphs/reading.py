"""Reads an ONNX graph: the node that makes each tensor, the nodes that read it, the constants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Constant = NDArray[Any]
SHAPES_ONLY = ("Shape", "Size")
"""Operators whose output depends on the size of an image, never on its pixels."""


def label(node: onnx.NodeProto) -> str:
    """A node's name for messages."""
    return f"{node.op_type} {node.name!r}" if node.name else f"{node.op_type} giving {node.output}"


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, including those inside loops and branches."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from nodes(inner)


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and all graphs nested in it."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def takes(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, including those that its subgraphs read from outside."""
    found = [name for name in node.input if name]
    for inner in subgraphs(node):
        found += [name for below in nodes(inner) for name in below.input if name]
        found += [output.name for output in inner.output]
    return found


def feeds(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller must feed; old files list their weights as inputs too."""
    weights = {weight.name for weight in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def makers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The node that makes each tensor, by the tensor's name."""
    return {name: node for node in graph.node for name in node.output if name}


def constants(graph: onnx.GraphProto) -> dict[str, Constant]:
    """Weights by name, whether they are initialisers or Constant nodes."""
    found = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            value = _constant(node.attribute[0])
            if value is not None:
                found[node.output[0]] = value
    return found


def _constant(attribute: onnx.AttributeProto) -> Constant | None:
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    types: dict[str, Any] = {
        "value_int": np.int64,
        "value_ints": np.int64,
        "value_float": np.float32,
        "value_floats": np.float32,
    }
    return np.asarray(value, types[attribute.name]) if attribute.name in types else None


def reach(graph: onnx.GraphProto) -> dict[str, frozenset[str]]:
    """For each tensor, the graph inputs on whose pixels the tensor depends."""
    found = {value.name: frozenset([value.name]) for value in feeds(graph)}
    for node in graph.node:
        sets = [found[name] for name in takes(node) if name in found]
        seen = frozenset() if node.op_type in SHAPES_ONLY else frozenset[str]().union(*sets)
        found.update({name: seen for name in node.output if name})
    return found


def prune(graph: onnx.GraphProto) -> None:
    """Drop nodes and weights that no output depends on."""
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(takes(node))
            kept.append(node)
    weights = {weight.name: weight for weight in graph.initializer if weight.name in needed}
    # Sort weights by first use: exporters order them differently, but the bytes must be equal.
    order = dict.fromkeys(name for node in reversed(kept) for name in takes(node))
    listed = [weights.pop(name) for name in order if name in weights] + list(weights.values())
    nodes_copy = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(nodes_copy)
    weights_copy = [onnx.TensorProto.FromString(weight.SerializeToString()) for weight in listed]
    del graph.initializer[:]
    graph.initializer.extend(weights_copy)


def rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename all tensors in one step, so that two can swap their names."""
    for inner in graphs(graph):
        for value in (*inner.input, *inner.output, *inner.initializer):
            value.name = names.get(value.name, value.name)
        for node in inner.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
