"""Turns a float ONNX encoder into a trainable module, and back into the same graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.errors import BundleError
from ostiary.export.graphs import normal_form, run
from ostiary.training.encoders.architectures import Encoder

Attributes = Mapping[str, Any]
Operator = Callable[[list[Tensor], Attributes], Tensor]
Change = Callable[[onnx.NodeProto, list[Tensor]], list[Tensor]]
LEARN = ("Conv", "Gemm", "MatMul", "PRelu")
"""Operators whose weights are learned; other constants, such as axes and bounds, are fixed."""
HONOURED = {
    "AveragePool": ("count_include_pad", "kernel_shape", "strides"),
    "BatchNormalization": ("epsilon", "momentum"),
    "Conv": ("dilations", "group", "kernel_shape", "pads", "strides"),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "LeakyRelu": ("alpha",),
    "MaxPool": ("kernel_shape", "storage_order", "strides"),
    "ReduceSum": ("keepdims",),
    "Reshape": ("allowzero",),
}
"""Attributes, by operator, that are obeyed here or do not change the result."""
PLAIN: dict[str, tuple[object, ...]] = {
    "auto_pad": (b"NOTSET", b"VALID"),
    "axis": (1,),
    "ceil_mode": (0,),
    "dilations": ([1, 1],),
    "noop_with_empty_axes": (0,),
    "pads": ([0, 0, 0, 0],),
    "training_mode": (0,),
}
"""Attributes that may be ignored if they have one of these values, by name."""
HINT = "train the encoder with the framework that made it"
MAX_DIFFERENCE = 1e-4
"""The greatest allowed difference from ONNX Runtime's embeddings: float32 rounding."""


class OnnxEncoder(Encoder):
    """A float encoder in the form of every bundle, run node by node with its weights as parameters.

    Its batch norms are already folded into the Convs, so training cannot disturb their statistics.
    `change`, if set, may replace a node's inputs: int8 training rounds them in it.
    """

    def __init__(self, model: onnx.ModelProto, spec: InputSpec) -> None:
        """Raises BundleError if the module would not compute what the model does."""
        super().__init__(spec, int(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value))
        self._model = normal_form.copy(model)
        self._nodes = list(self._model.graph.node)
        self._attributes = [_attributes(node) for node in self._nodes]
        _refuse_unknown(self._nodes)
        for node, attributes in zip(self._nodes, self._attributes, strict=True):
            _refuse_ignored(node, attributes)
        learned = {n for node in self._nodes if node.op_type in LEARN for n in node.input[1:]}
        self._learned: list[str] = []
        self._constants: dict[str, Tensor] = {}
        for item in self._model.graph.initializer:
            # Copy the array, since torch warns of a TensorProto's read-only memory.
            values = torch.from_numpy(np.array(numpy_helper.to_array(item)))
            if item.name in learned and values.is_floating_point():
                self.register_parameter(_safe(item.name), nn.Parameter(values))
                self._learned.append(item.name)
            else:
                self._constants[item.name] = values
        self.change: Change | None = None
        self._prove()

    def _prove(self) -> None:
        """Compare with ONNX Runtime on two images of noise, to detect cases that the lists here
        miss.

        Raises BundleError if they differ.
        """
        pixels = np.random.default_rng(0).uniform(0, 255, (2, *self.spec.shape[1:]))
        given = ((pixels - self.spec.mean) / self.spec.scale).astype(np.float32)
        expected = run.run(self._model, given)
        try:
            with torch.no_grad():
                # self(...) cannot be called: a subclass is not fully built yet.
                made = OnnxEncoder.forward(self, torch.from_numpy(given)).numpy()
        except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise BundleError(f"the encoder cannot be run for training: {error}", HINT) from error
        alike = made.shape == expected.shape
        difference = float(np.abs(made - expected).max()) if alike else np.inf
        if not difference <= MAX_DIFFERENCE:
            raise BundleError(
                f"in training the encoder would differ from its file by {difference:.2g}", HINT
            )

    def forward(self, given: Tensor) -> Tensor:
        held = dict(self._constants)
        held.update((name, self.get_parameter(_safe(name))) for name in self._learned)
        held[self._model.graph.input[0].name] = given
        for node, attributes in zip(self._nodes, self._attributes, strict=True):
            inputs = [held[name] for name in node.input]
            if self.change is not None:
                inputs = self.change(node, inputs)
            held[node.output[0]] = OPERATORS[node.op_type](inputs, attributes)
        return held[self._model.graph.output[0].name]

    def weight(self, name: str) -> nn.Parameter:
        """The parameter of the initialiser with this name."""
        return self.get_parameter(_safe(name))

    def to_onnx(self) -> onnx.ModelProto:
        """The original graph with the present weights."""
        made = normal_form.copy(self._model)
        learned = {name: self.weight(name).detach().cpu().numpy() for name in self._learned}
        normal_form.put_weights(made, learned)
        return made


def _safe(name: str) -> str:
    """An initialiser's name as a parameter's name, in which dots are not allowed."""
    return "w_" + name.replace(".", "/")


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def _refuse_unknown(nodes: list[onnx.NodeProto]) -> None:
    unknown = sorted({node.op_type for node in nodes} - set(OPERATORS))
    if unknown:
        raise BundleError(
            f"the encoder's operators {', '.join(unknown)} cannot be trained here",
            f"operators that can be: {', '.join(sorted(OPERATORS))}; {HINT}",
        )


def _refuse_ignored(node: onnx.NodeProto, attributes: Attributes) -> None:
    for name, value in attributes.items():
        if name not in HONOURED.get(node.op_type, ()) and value not in PLAIN.get(name, ()):
            shown = value.decode() if isinstance(value, bytes) else value
            raise BundleError(f"node {node.name}: {name} = {shown} cannot be trained here", HINT)
    if "" in node.input:
        raise BundleError(
            f"node {node.name}: an input left out cannot be trained here, of {[*node.input]}", HINT
        )


def _conv(x: list[Tensor], a: Attributes) -> Tensor:
    given = x[0]
    pads = list(a.get("pads", [0, 0, 0, 0]))
    if pads[:2] != pads[2:]:
        given = functional.pad(given, (pads[1], pads[3], pads[0], pads[2]))
        pads = [0, 0, 0, 0]
    return functional.conv2d(
        given, x[1], x[2] if len(x) > 2 else None, a.get("strides", [1, 1]), pads[:2],
        a.get("dilations", [1, 1]), a.get("group", 1),
    )  # fmt: skip


def _prelu(x: list[Tensor], _: Attributes) -> Tensor:
    slope = x[1].reshape(-1)
    return functional.prelu(x[0], slope)


def _gemm(x: list[Tensor], a: Attributes) -> Tensor:
    left = x[0].T if a.get("transA") else x[0]
    right = x[1].T if a.get("transB") else x[1]
    made: Tensor = a.get("alpha", 1.0) * (left @ right)
    return made + a.get("beta", 1.0) * x[2] if len(x) > 2 else made


def _pool(kind: Callable[..., Tensor]) -> Operator:
    return lambda x, a: kind(x[0], a["kernel_shape"], a.get("strides", [1, 1]))


def _reduce_sum(x: list[Tensor], a: Attributes) -> Tensor:
    axes = x[1].tolist() if len(x) > 1 else None
    return torch.sum(x[0], axes, keepdim=bool(a.get("keepdims", 1)))


def _clip(x: list[Tensor], _: Attributes) -> Tensor:
    low, high = (*x[1:], None, None)[:2]
    return torch.clamp(x[0], low, high)


def _batch_norm(x: list[Tensor], a: Attributes) -> Tensor:
    # Use the file's statistics: in a fine-tuning they must not follow a small batch.
    scale, bias, mean, variance = x[1:]
    return functional.batch_norm(x[0], mean, variance, scale, bias, eps=a.get("epsilon", 1e-5))


OPERATORS: dict[str, Operator] = {
    "Add": lambda x, _: x[0] + x[1],
    "AveragePool": _pool(functional.avg_pool2d),
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Conv": _conv,
    "Div": lambda x, _: x[0] / x[1],
    "Flatten": lambda x, a: torch.flatten(x[0], a.get("axis", 1)),
    "Gemm": _gemm,
    "GlobalAveragePool": lambda x, _: x[0].mean((2, 3), keepdim=True),
    "LeakyRelu": lambda x, a: functional.leaky_relu(x[0], a.get("alpha", 0.01)),
    "MatMul": lambda x, _: x[0] @ x[1],
    "Max": lambda x, _: reduce(torch.maximum, x),
    "MaxPool": _pool(functional.max_pool2d),
    "Mul": lambda x, _: x[0] * x[1],
    "PRelu": _prelu,
    "ReduceSum": _reduce_sum,
    "Relu": lambda x, _: torch.relu(x[0]),
    "Reshape": lambda x, _: x[0].reshape(x[1].tolist()),
    "Sigmoid": lambda x, _: torch.sigmoid(x[0]),
    "Sqrt": lambda x, _: torch.sqrt(x[0]),
    "Sub": lambda x, _: x[0] - x[1],
}
