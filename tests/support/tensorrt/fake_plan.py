"""The fake TensorRT's engines: a line of JSON, and the ONNX file that was built."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime

MAGIC = b"fake plan\n"
PAIRS = ("QuantizeLinear", "DequantizeLinear")
TYPES = {"FLOAT": "FLOAT", "FLOAT16": "HALF", "INT8": "INT8", "INT32": "INT32", "UINT8": "UINT8"}
TYPES |= {"INT64": "INT64", "BOOL": "BOOL"}
"""ONNX's names of types, with TensorRT's names for them."""
FORMATS = {
    "Int8": "Thirty-two wide channel vectorized row major Int8 format",
    "Half": "Channel major FP16 format where channel % 8 == 0",
    "Float": "Row major linear FP32",
}
"""8.6's spelling of type names for which later versions use one word."""


@dataclass(frozen=True)
class Settings:
    """Everything that an engine was built with and for."""

    version: str
    sm: tuple[int, int]
    flags: list[str]
    strong: bool
    verbosity: str
    hardware: str
    profiles: list[dict[str, list[list[int]]]]


class Graph:
    """A parsed ONNX file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.model = onnx.load_from_string(data)
        onnx.checker.check_model(self.model)
        self._shapes: dict[tuple[tuple[int, ...], ...], dict[str, tuple[int, ...]]] = {}

    @cached_property
    def inputs(self) -> dict[str, tuple[tuple[int, ...], str]]:
        weights = {tensor.name for tensor in self.model.graph.initializer}
        return dict(_tensor(v) for v in self.model.graph.input if v.name not in weights)

    @cached_property
    def outputs(self) -> dict[str, tuple[tuple[int, ...], str]]:
        return dict(_tensor(v) for v in self.model.graph.output)

    @property
    def tensors(self) -> dict[str, tuple[tuple[int, ...], str]]:
        return {**self.inputs, **self.outputs}

    @property
    def quantized(self) -> bool:
        return any(node.op_type in PAIRS for node in self.model.graph.node)

    def refused(self) -> list[tuple[int, str]]:
        """The nodes that TensorRT's parser does not take, and why."""
        graph = self.model.graph
        weights = {w.name: w for w in graph.initializer}
        found = []
        for at, node in enumerate(graph.node):
            if node.op_type.startswith("QLinear") or node.op_type.endswith("Integer"):
                found.append((at, f"No importer registered for op: {node.op_type}"))
            elif node.op_type in PAIRS and len(node.input) > 2 and node.input[2] in weights:
                zero = onnx.numpy_helper.to_array(weights[node.input[2]])
                if zero.any():
                    found.append((at, "Assertion failed: only symmetric quantization: zero point"))
        return found

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self.data, options, ["CPUExecutionProvider"])

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self.outputs, self.session.run(list(self.outputs), inputs), strict=True))

    def output_shapes(self, given: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        """The outputs' shapes for those of the inputs."""
        key = tuple(given.values())
        if key not in self._shapes:
            zeros = {n: np.zeros(s, numpy_type(self.inputs[n][1])) for n, s in given.items()}
            self._shapes[key] = {name: array.shape for name, array in self.run(zeros).items()}
        return self._shapes[key]


def numpy_type(name: str) -> np.dtype:
    """The type of one of TensorRT's names."""
    kinds = {"FLOAT": "f4", "HALF": "f2", "BOOL": "?"}
    return np.dtype(kinds.get(name, name.lower()))


def _tensor(value: Any) -> tuple[str, tuple[tuple[int, ...], str]]:
    kind = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
    return value.name, (shape, TYPES[onnx.TensorProto.DataType.Name(kind.elem_type)])


def pack(settings: Settings, graph: Graph) -> bytes:
    return MAGIC + json.dumps(asdict(settings)).encode() + b"\n" + graph.data


def unpack(data: bytes) -> tuple[Settings, Graph] | None:
    """Read a plan; None if the bytes are no plan or cut short."""
    if not data.startswith(MAGIC) or b"\n" not in data[len(MAGIC) :]:
        return None
    head, _, model = data[len(MAGIC) :].partition(b"\n")
    settings = json.loads(head)
    settings["sm"] = tuple(settings["sm"])
    try:
        return Settings(**settings), Graph(model)
    except (onnx.checker.ValidationError, ValueError):
        return None
    except Exception as error:  # protobuf's DecodeError is another one for each implementation
        if type(error).__name__ == "DecodeError":
            return None
        raise


def layers(settings: Settings, graph: Graph) -> list[dict[str, Any]]:
    """What an inspector would say: the layers that are left, and each one's data type."""
    made = {output: node for node in graph.model.graph.node for output in node.output}
    found = []
    for node in graph.model.graph.node:
        if node.op_type in (*PAIRS, "Constant"):
            continue
        kind = _precision(settings, graph, node, made)
        said = FORMATS[kind] if settings.version.startswith("8.") else kind
        tensors = {
            "Inputs": [n for n in node.input if n in made or n in graph.inputs],
            "Outputs": list(node.output),
        }
        described = {
            k: [{"Name": n, "Format/Datatype": said} for n in v] for k, v in tensors.items()
        }
        name = node.name or f"{node.op_type}_{node.output[0]}"
        found.append({"Name": name, "LayerType": _layer_type(node), **described})
    return found


def _precision(settings: Settings, graph: Graph, node: Any, made: dict[str, Any]) -> str:
    before = made.get(node.input[0]) if node.input else None
    if before is not None and before.op_type == "DequantizeLinear":
        return "Int8"
    typed = "HALF" in (kind for _, kind in graph.inputs.values())
    return "Half" if typed or (not settings.strong and "FP16" in settings.flags) else "Float"


def _layer_type(node: Any) -> str:
    kinds = {"Conv": "CaskConvolution", "Gemm": "CaskGemmMatrixMultiply", "Reshape": "NoOp"}
    return kinds.get(node.op_type, "kgen")
