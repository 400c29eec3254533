"""Converts a TensorFlow Lite encoder to ONNX, checked against TensorFlow Lite's own output."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.errors import BundleError

OPSET, IR_VERSION = 13, 8
MAX_DIFFERENCE = 1e-4
"""The largest allowed difference of the runtimes' outputs, which are of the order 1 to 10."""
PRELU = ("RELU", "ABS", "SUB", "MUL", "ADD")
"""TensorFlow Lite's operators for relu(x) + a*(x - |x|), which is one PRelu in ONNX."""

Array = NDArray[np.float32]


@dataclass(slots=True)
class _Network:
    """A TensorFlow Lite graph with the values of one run, and the ONNX graph made of it."""

    interpreter: Any
    operators: list[dict[str, Any]]
    shapes: dict[int, list[int]]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def value(self, tensor: int) -> Array:
        return np.asarray(self.interpreter.get_tensor(tensor), np.float32)

    def constant(self, array: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, inputs: list[str], output: int, **attributes: Any) -> None:
        self.names[output] = f"t{output}"
        self.nodes.append(helper.make_node(operator, inputs, [f"t{output}"], **attributes))


def convert(source: Path) -> bytes:
    """Convert a .tflite face encoder to ONNX: float32 NCHW `input` to `embedding`, any batch.

    The same file always gives the same bytes. Raises BundleError for an unknown operator, and if
    ONNX Runtime and TensorFlow Lite give different results.
    """
    interpreter = _interpreter(source)
    entry = interpreter.get_input_details()[0]
    shape = [int(n) for n in entry["shape"]]
    probe = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    interpreter.set_tensor(entry["index"], probe)
    interpreter.invoke()
    network = _Network(
        interpreter,
        interpreter._get_ops_details(),
        {d["index"]: [int(n) for n in d["shape"]] for d in interpreter.get_tensor_details()},
        names={int(entry["index"]): "input"},
    )
    model = _model(network, _translate(network), shape, network_output(interpreter))
    data: bytes = model.SerializeToString(deterministic=True)
    _check(data, probe, np.asarray(interpreter.get_tensor(network_output(interpreter))))
    return data


def network_output(interpreter: Any) -> int:
    """The index of the only output tensor."""
    return int(interpreter.get_output_details()[0]["index"])


def _interpreter(source: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            str(source),
            # No delegate is used: it would fuse operators that must be read here.
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{source} is not a TensorFlow Lite model: {error}") from error
    return interpreter


def _translate(network: _Network) -> str:
    """Add the ONNX nodes; returns the name of the last node's output."""
    at, last = 0, "input"
    while at < len(network.operators):
        operator = network.operators[at]
        inputs, output = [int(i) for i in operator["inputs"]], int(operator["outputs"][0])
        kind = operator["op_name"]
        following = tuple(o["op_name"] for o in network.operators[at : at + len(PRELU)])
        if following == PRELU:
            output = _prelu(network, at)
            at += len(PRELU) - 1
        elif kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            _convolution(network, kind, inputs, output)
        elif kind == "ADD":
            network.add("Add", [network.names[i] for i in inputs], output)
        elif kind == "RESHAPE":
            network.add("Flatten", [network.names[inputs[0]]], output)
        else:
            raise BundleError(f"the TensorFlow Lite operator {kind} cannot be converted")
        last = network.names[output]
        at += 1
    return last


def _prelu(network: _Network, at: int) -> int:
    """Add relu(x) + a*(x - |x|) as a PRelu of slope 2a; returns the index of its output."""
    multiply = [int(i) for i in network.operators[at + 3]["inputs"]]
    produced = {int(o) for operator in network.operators for o in operator["outputs"]}
    slope = next(network.value(i) for i in multiply if i not in produced)
    source = network.names[int(network.operators[at]["inputs"][0])]
    output = int(network.operators[at + 4]["outputs"][0])
    network.add("PRelu", [source, network.constant(2 * slope.reshape(-1, 1, 1))], output)
    return output


def _convolution(network: _Network, kind: str, inputs: list[int], output: int) -> None:
    depthwise = kind == "DEPTHWISE_CONV_2D"
    weights = network.value(inputs[1]).transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2))
    kernel, size = weights.shape[2], network.shapes[inputs[0]][1]
    stride, pads = _geometry(size, network.shapes[output][1], kernel)
    network.add(
        "Conv",
        [
            network.names[inputs[0]],
            network.constant(weights),
            network.constant(network.value(inputs[2])),
        ],
        output,
        strides=[stride, stride],
        pads=pads,
        group=weights.shape[0] if depthwise else 1,
        kernel_shape=[kernel, kernel],
    )


def _geometry(size: int, result: int, kernel: int) -> tuple[int, list[int]]:
    """Stride and padding from the shapes: VALID if the kernel spans the input, else SAME."""
    if result == 1 and kernel == size:
        return 1, [0, 0, 0, 0]
    stride = size // result
    total = max((result - 1) * stride + kernel - size, 0)
    before = total // 2
    return stride, [before, before, total - before, total - before]


def _model(network: _Network, last: str, shape: list[int], output: int) -> onnx.ModelProto:
    for node in network.nodes:
        node.output[:] = ["embedding" if name == last else name for name in node.output]
    _, height, width, channels = shape
    dim = network.shapes[output][-1]
    graph = helper.make_graph(
        network.nodes,
        "encoder",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", channels, height, width])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", dim])],
        network.weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _check(data: bytes, probe: Array, expected: Array) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    got = session.run(None, {"input": np.ascontiguousarray(probe.transpose(0, 3, 1, 2))})[0]
    difference = float(np.abs(got - expected).max())
    if not difference <= MAX_DIFFERENCE:
        raise BundleError(
            f"the converted encoder differs from the original by {difference:.2g},"
            f" {MAX_DIFFERENCE:.0e} is allowed"
        )
