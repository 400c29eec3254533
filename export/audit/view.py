"""An ONNX graph for the audit: producer and consumers of each tensor, constants by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Values = NDArray[Any]


class Violation(msgspec.Struct, frozen=True):
    """A broken rule: the node, initialiser or tensor at fault, the problem, and its cure."""

    rule: str
    node: str
    problem: str
    cure: str


def named(node: onnx.NodeProto) -> str:
    """The node's name, or its operator and first output if it has no name."""
    return node.name or f"{node.op_type} of {node.output[0] if node.output else 'nothing'}"


@dataclass(slots=True)
class View:
    """A graph that can be walked in both directions."""

    model: onnx.ModelProto
    tensors: dict[str, onnx.TensorProto] = field(default_factory=dict)
    """Initialisers and the values of Constant nodes, by name."""
    producers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    consumers: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tensors = {tensor.name: tensor for tensor in self.model.graph.initializer}
        for node in self.nodes():
            for name in node.output:
                self.producers[name] = node
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)
            if node.op_type == "Constant" and (tensor := _constant(node)) is not None:
                self.tensors[node.output[0]] = tensor

    def nodes(self, *operators: str) -> Iterator[onnx.NodeProto]:
        """Every node, or only those of the given operators."""
        return (n for n in self.model.graph.node if not operators or n.op_type in operators)

    def producer(self, name: str, operator: str) -> onnx.NodeProto | None:
        """The node that makes the tensor `name`, if its operator is `operator`; else None."""
        node = self.producers.get(name)
        return node if node is not None and node.op_type == operator else None

    def value(self, name: str) -> Values | None:
        """A constant tensor's value; None for a tensor that is computed at run time."""
        tensor = self.tensors.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def weight_of(self, dequantize: onnx.NodeProto) -> onnx.TensorProto | None:
        """The constant that a DequantizeLinear reads, directly or through a QuantizeLinear."""
        name = dequantize.input[0]
        quantize = self.producer(name, "QuantizeLinear")
        return self.tensors.get(quantize.input[0] if quantize is not None else name)


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """The value of a node's attribute, or `default` if it is not set."""
    found = next((a for a in node.attribute if a.name == name), None)
    return default if found is None else helper.get_attribute_value(found)


def argument(node: onnx.NodeProto, at: int) -> str:
    """The name of input number `at`; empty if that optional input is left out."""
    return str(node.input[at]) if len(node.input) > at else ""


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    for name in ("value_float", "value_floats"):
        if (value := attribute(node, name)) is not None:
            return numpy_helper.from_array(np.asarray(value, np.float32), node.output[0])
    return cast("onnx.TensorProto | None", attribute(node, "value"))
