"""Checks a model's inputs and outputs against the source's description, and names them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ostiary.edge.errors import BundleError
from ostiary.export.graphs import reading as graphs
from ostiary.export.sources.spec import EncoderSource

BATCH = "n"


def check_count(names: list[str], spec: EncoderSource) -> None:
    """Require one input, or two for a pair. Raises BundleError that names the inputs."""
    expected = 2 if spec.pair else 1
    if len(names) == expected:
        return
    hint = "an encoder takes one image"
    if len(names) == 2:
        hint = "if it compares two images with one shared branch, set pair = true"
    elif spec.pair:
        hint = "the model takes one image: leave pair out" if len(names) == 1 else "give a pair"
    listed = ", ".join(names) or "none"
    raise BundleError(
        f"{spec.source} has {len(names)} inputs ({listed}), expected {expected}", hint
    )


def check_outputs(graph: onnx.GraphProto, spec: EncoderSource) -> None:
    """Require one output that depends on the image. Raises BundleError."""
    names = [output.name for output in graph.output]
    if len(names) != 1:
        raise BundleError(
            f"{spec.source} has {len(names)} outputs: {', '.join(names)}",
            "export it with the embedding as its only output",
        )
    if not graphs.reach(graph).get(names[0]):
        raise BundleError(f"the output {names[0]!r} of {spec.source} does not depend on the image")


def settle_inputs(graph: onnx.GraphProto, spec: EncoderSource) -> None:
    """Give inputs the described size and an open batch. Raises BundleError if sizes differ."""
    values = graphs.feeds(graph)
    check_count([value.name for value in values], spec)
    for value in values:
        dims = value.type.tensor_type.shape.dim
        found = [d.dim_value or d.dim_param or "?" for d in dims]
        if len(dims) != 4 or any(
            isinstance(d, int) and d != want for d, want in zip(found[1:], spec.shape, strict=True)
        ):
            raise BundleError(
                f"input {value.name!r} of {spec.source} is ({', '.join(map(str, found))}),"
                f" expected (n, {', '.join(map(str, spec.shape))})",
                _size_hint(found, spec),
            )
        if isinstance(found[0], int):
            _free_batch(graph, found[0])
    del graph.input[:]
    graph.input.extend(
        helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [BATCH, *spec.shape])
        for value in values
    )


def _size_hint(found: list[int | str], spec: EncoderSource) -> str:
    channels, height, width = spec.shape
    if found[1:] == [height, width, channels]:
        return "export it with channels before height and width (NCHW)"
    return "correct size_px (height, width) and channels, or give the encoder that takes these"


def _free_batch(graph: onnx.GraphProto, batch: int) -> None:
    """Let each Reshape to the fixed `batch` take the batch size from its input instead.

    An export with a fixed batch turns `x.flatten(1)` into a Reshape to (1, 128). If anything else
    fixes the batch, a run with another batch size will fail.
    """
    constants, seen = graphs.constants(graph), graphs.reach(graph)
    for number, node in enumerate(graph.node):
        if node.op_type != "Reshape" or not seen.get(node.input[0]):
            continue
        shape = constants.get(node.input[1])
        if shape is None or not len(shape) or shape[0] != batch or 0 in shape:
            continue
        freed = np.array([0, *shape[1:]], np.int64)
        name = f"{node.input[1]}/any_batch{number}"
        graph.initializer.append(numpy_helper.from_array(freed, name))
        node.input[1] = name
        kept = [a for a in node.attribute if a.name != "allowzero"]
        del node.attribute[:]
        node.attribute.extend(kept)


def settle_output(graph: onnx.GraphProto, shape: tuple[int, ...], spec: EncoderSource) -> None:
    """Make the output (n, dim); `shape` is its shape when run. Raises BundleError."""
    output = graph.output[0].name
    flat = f"{output}/flat"
    if len(shape) == 4 and shape[2:] == (1, 1):
        graph.node.append(helper.make_node("Flatten", [output], [flat], flat, axis=1))
        output = flat
    elif len(shape) != 2:
        raise BundleError(
            f"the output {output!r} of {spec.source} is {shape}, expected (n, dim)",
            "export it with one embedding per image",
        )
    del graph.output[:]
    value = helper.make_tensor_value_info(output, TensorProto.FLOAT, [BATCH, shape[1]])
    graph.output.append(value)


def name_ports(graph: onnx.GraphProto) -> None:
    """Name the input `input` and the output `embedding`; any other tensor with such a name is
    renamed."""
    wanted = {graph.input[0].name: "input", graph.output[0].name: "embedding"}
    taken = {name for node in graph.node for name in (*node.output, *graphs.takes(node))}
    clashes = {name for name in wanted.values() if name in taken} - set(wanted)
    graphs.rename(graph, wanted | {name: f"{name}/inner" for name in clashes})
