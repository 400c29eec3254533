"""Takes one branch out of a Siamese pair, after a check that both branches are the same."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from ostiary.edge.errors import BundleError
from ostiary.export.graphs import reading as graphs
from ostiary.export.sources.spec import EncoderSource

SHARE = "an encoder can be taken from a pair only if both images go through the same weights"


def extract(graph: onnx.GraphProto, spec: EncoderSource) -> str:
    """Cut the graph down to its first input's branch; returns the embedding's tensor name.

    Raises BundleError that names the node or the weights in which the branches differ.
    """
    first, second = (value.name for value in graphs.feeds(graph))
    seen = graphs.reach(graph)
    ends = [_end(graph, seen, name, spec) for name in (first, second)]
    _Twins(graph, seen, (first, second)).compare(*ends)
    embedding = ends[0]
    del graph.input[1:], graph.output[:]
    graph.output.append(helper.make_tensor_value_info(embedding, TensorProto.FLOAT, None))
    graphs.prune(graph)
    # The first branch may read its batch size from the second image, whose batch is as large.
    graphs.rename(graph, {second: first})
    return embedding


def _end(
    graph: onnx.GraphProto, seen: dict[str, frozenset[str]], image: str, spec: EncoderSource
) -> str:
    """The last tensor on all paths from one image to the point where the branches meet."""
    frontier = {output.name: "an output" for output in graph.output}
    for node in graph.node:
        if len(frozenset[str]().union(*(seen[name] for name in node.output if name))) > 1:
            frontier.update({name: graphs.label(node) for name in graphs.takes(node)})
    own = frozenset([image])
    frontier = {name: user for name, user in frontier.items() if seen.get(name) == own}
    if not frontier:
        raise BundleError(f"no output of {spec.source} depends on its input {image!r}", SHARE)
    gates = _gates(graph, seen, image)
    common = set(gates[image]).union(*gates.values())
    common = common.intersection(*(gates[name] for name in frontier))
    end = max(common, key=list(gates).index)
    if end == image:
        places = ", ".join(f"{name!r} into {user}" for name, user in frontier.items())
        raise BundleError(
            f"the branches of {spec.source} have no single end: {places}",
            "give the module of one branch alone, without pair",
        )
    return _before_unsqueeze(graph, end)


def _gates(
    graph: onnx.GraphProto, seen: dict[str, frozenset[str]], image: str
) -> dict[str, frozenset[str]]:
    """For each tensor of a branch, the tensors on every path from the image to it."""
    gates = {image: frozenset([image])}
    for node in graph.node:
        before = [gates[name] for name in graphs.takes(node) if name in gates]
        for name in node.output:
            if name and before and seen[name] == frozenset([image]):
                gates[name] = before[0].intersection(*before) | {name}
    return gates


def _before_unsqueeze(graph: onnx.GraphProto, name: str) -> str:
    """The tensor before an Unsqueeze that only the comparison needs, as for torch.cdist."""
    makers = graphs.makers(graph)
    while makers[name].op_type in ("Unsqueeze", "Identity") and makers[name].input[0] in makers:
        name = makers[name].input[0]
    return name


@dataclass(slots=True)
class _Twins:
    """Two branches walked together, from their ends back to their images."""

    graph: onnx.GraphProto
    seen: dict[str, frozenset[str]]
    images: tuple[str, str]
    makers: dict[str, onnx.NodeProto] = field(init=False)
    constants: dict[str, graphs.Constant] = field(init=False)

    def __post_init__(self) -> None:
        self.makers = graphs.makers(self.graph)
        self.constants = graphs.constants(self.graph)

    def compare(self, one: str, other: str) -> None:
        todo, done = [(one, other, "")], set()
        while todo:
            one, other, user = todo.pop()
            one, other = self._origin(one), self._origin(other)
            if (one, other) not in done:
                done.add((one, other))
                todo += self._step(one, other, user)

    def _origin(self, name: str) -> str:
        """The tensor before any Identity; exporters add an Identity for each user of a shared
        weight."""
        while name in self.makers and self.makers[name].op_type == "Identity":
            name = self.makers[name].input[0]
        return name

    def _step(self, one: str, other: str, user: str) -> list[tuple[str, str, str]]:
        """Compare two tensors; returns the inputs to compare next. Raises BundleError."""
        # A tensor that both branches read depends on neither image: it is shared.
        if one == other or {one, other} == set(self.images):
            return []
        weights = self.constants.get(one), self.constants.get(other)
        if weights[0] is not None and weights[1] is not None:
            self._same_weights(one, other, user)
            return []
        left, right = self.makers.get(one), self.makers.get(other)
        if left is None or right is None:
            raise BundleError(f"{user}: one takes {one!r}, the other {other!r}", SHARE)
        self._same_node(left, right, one, other)
        users = f"nodes {graphs.label(left)} and {graphs.label(right)}"
        return [(a, b, users) for a, b in zip(left.input, right.input, strict=True) if a or b]

    def _same_weights(self, one: str, other: str, user: str) -> None:
        left, right = self.constants[one], self.constants[other]
        if left.dtype != right.dtype or not np.array_equal(left, right):
            raise BundleError(
                f"the branches of the pair do not share their weights: {one!r} is not {other!r}"
                f" ({user})",
                SHARE,
            )

    def _same_node(self, left: onnx.NodeProto, right: onnx.NodeProto, a: str, b: str) -> None:
        names = f"{graphs.label(left)} and {graphs.label(right)}"
        if any(True for node in (left, right) for _ in graphs.subgraphs(node)):
            raise BundleError(f"a loop or a condition in a pair is not supported: {names}", SHARE)
        if _kind(left) != _kind(right) or list(left.output).index(a) != list(right.output).index(b):
            raise BundleError(f"the branches of the pair differ at nodes {names}", SHARE)


def _kind(node: onnx.NodeProto) -> tuple[str, int, dict[str, bytes]]:
    """The properties that two equal nodes must share, apart from their inputs."""
    attributes = {}
    for attribute in node.attribute:
        plain = onnx.AttributeProto.FromString(attribute.SerializeToString())
        plain.ClearField("doc_string")
        attributes[plain.name] = plain.SerializeToString(deterministic=True)
    return node.op_type, len(node.input), attributes
