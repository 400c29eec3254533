"""The parser of the fake TensorRT; `fake_trt` gives its classes their names."""

from pathlib import Path
from typing import Any

import onnx

from tests.support.tensorrt.fake_plan import Graph

EXPLICIT = (
    "Assertion failed: !network->hasImplicitBatchDimension(): This version of the ONNX parser only"
    " supports TensorRT INetworkDefinitions with an explicit batch dimension. Please ensure the"
    " network was created using the EXPLICIT_BATCH NetworkDefinitionCreationFlag."
)


class OnnxParser:
    _world: Any

    def __init__(self, network: Any, logger: Any) -> None:
        self._network, self._logger = network, self._world.logger(logger)
        self._errors: list[Any] = []

    num_errors = property(lambda self: len(self._errors))

    def parse(self, model: Any, path: str | None = None) -> bool:
        if not self._network._explicit:
            return self._refuse(-1, None, EXPLICIT)
        try:
            graph = Graph(bytes(memoryview(model)))
        except onnx.checker.ValidationError as error:
            return self._refuse(-1, None, str(error).splitlines()[0])
        except Exception as error:
            # protobuf's DecodeError is another class for each of its implementations.
            if type(error).__name__ != "DecodeError":
                raise
            return self._refuse(-1, None, "Failed to parse the ONNX model")
        for at, text in graph.refused():
            self._refuse(at, graph.model.graph.node[at], text)
        self._network._graph = None if self._errors else graph
        return not self._errors

    def parse_from_file(self, model: str) -> bool:
        return self.parse(Path(model).read_bytes())

    def get_error(self, index: int) -> Any:
        return self._errors[index]

    def clear_errors(self) -> None:
        self._errors.clear()

    def _refuse(self, at: int, node: Any, text: str) -> bool:
        self._errors.append(self._world.make("ParserError", at, node, text))
        self._world.say(self._logger, "ERROR", f"In node {at}: {text}")
        return False


class ParserError:
    _world: Any

    def __init__(self, at: int, node: Any, text: str) -> None:
        self._at, self._node, self._text = at, node, text

    def node(self) -> int:
        return self._at

    def desc(self) -> str:
        return self._text

    def code(self) -> Any:
        return self._world.trt.ErrorCode.INVALID_GRAPH

    def file(self) -> str:
        return "ModelImporter.cpp"

    def func(self) -> str:
        return "parseGraph"

    def line(self) -> int:
        return 1

    def node_name(self) -> str:
        return self._node.name if self._node is not None else ""

    def node_operator(self) -> str:
        return self._node.op_type if self._node is not None else ""
