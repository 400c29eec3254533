"""The rules that TensorRT sets for an int8 graph with explicit Q/DQ, one small function each.

A placement is a fault if it stops the build or changes the result. NVIDIA also advises to quantize
the residual input of an Add and to leave the output of the branch's Conv in float. That concerns
fusion, and so only speed: TensorRT computes an Add as written, whether its inputs are float,
quantized, or one of each. No rule here looks at an Add.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto

from ostiary.export.audit.view import View, Violation, argument, attribute, named

WEIGHTED = ("Conv", "Gemm", "MatMul")
FOLLOWERS = ("BatchNormalization", "PRelu", "Relu", "LeakyRelu", "Clip")
"""Operators that TensorRT fuses into the Conv before them, unless a Q/DQ pair stands between."""


def quantization(view: View) -> Iterator[Violation]:
    """Every fault of the Q/DQ nodes and quantized weights of a graph."""
    for node in view.nodes("QuantizeLinear"):
        yield from _quantize(view, node)
    for node in view.nodes("DequantizeLinear"):
        yield from _dequantize(view, node)
    # Several nodes may share a weight: report its faults once.
    yield from dict.fromkeys(v for n in view.nodes(*WEIGHTED) for v in _weights(view, n))


def is_int8(view: View, node: onnx.NodeProto) -> bool:
    """Whether a Conv, Gemm or MatMul multiplies int8 by int8."""
    return all(_from_int8(view, name) for name in node.input[:2])


def per_tensor(view: View) -> Iterator[str]:
    """Names of nodes whose weights have one scale for all channels: legal, but less exact."""
    for node in view.nodes(*WEIGHTED):
        found = _weight(view, node)
        if found is not None and _size(view, found[0]) == 1 < found[1].dims[_channels(node)]:
            yield named(node)


def _from_int8(view: View, name: str) -> bool:
    dequantize = view.producer(name, "DequantizeLinear")
    if dequantize is None:
        return False
    quantize = view.producer(dequantize.input[0], "QuantizeLinear")
    if quantize is not None:
        return _made(view, quantize) == TensorProto.INT8
    stored = view.tensors.get(dequantize.input[0])
    return stored is not None and stored.data_type == TensorProto.INT8


def _made(view: View, quantize: onnx.NodeProto) -> int:
    """The output type of a QuantizeLinear: uint8 if it has no zero point or `output_dtype`."""
    zero_point = view.tensors.get(argument(quantize, 2))
    if zero_point is not None:
        return int(zero_point.data_type)
    return int(attribute(quantize, "output_dtype", 0)) or int(TensorProto.UINT8)


def _quantize(view: View, node: onnx.NodeProto) -> Iterator[Violation]:
    made = _made(view, node)
    if made != TensorProto.INT8:
        # Without a zero point TensorRT assumes int8 and ONNX Runtime uint8, so results would
        # differ.
        yield _type(node, made)
    else:
        yield from _zero_point(view, node)
    yield from _scale(view, node)
    if node.input[0] not in view.tensors and _size(view, node) > 1:
        yield Violation(
            "activation",
            named(node),
            f"{node.input[0]} is quantized with {_size(view, node)} scales",
            "use one scale per activation tensor; only weights may have one per channel",
        )
    yield from _paired(view, node)
    yield from _placement(view, node)


def _dequantize(view: View, node: onnx.NodeProto) -> Iterator[Violation]:
    quantize = view.producer(node.input[0], "QuantizeLinear")
    stored = view.tensors.get(node.input[0])
    if _is_bias(view, node):
        yield Violation(
            "bias",
            named(node),
            f"the bias {node.input[0]} is quantized",
            "leave biases in float: QuantizeBias False in ONNX Runtime",
        )
    elif quantize is not None:
        yield from _same(view, quantize, node)
    elif stored is None:
        yield Violation(
            "pair",
            named(node),
            f"{node.input[0]} is neither the output of a QuantizeLinear nor a constant",
            "put a QuantizeLinear before the node, or feed it a quantized tensor",
        )
    elif stored.data_type != TensorProto.INT8:
        yield _type(node, stored.data_type)
    else:
        yield from _zero_point(view, node)
        yield from _scale(view, node)


def _is_bias(view: View, node: onnx.NodeProto) -> bool:
    stored = view.tensors.get(node.input[0])
    whole = stored is not None and stored.data_type == TensorProto.INT32
    users = view.consumers.get(node.output[0], [])
    return whole or any(
        u.op_type in ("Conv", "Gemm") and argument(u, 2) == node.output[0] for u in users
    )


def _type(node: onnx.NodeProto, found: int) -> Violation:
    return Violation(
        "type",
        named(node),
        f"{node.input[0]} is {TensorProto.DataType.Name(found).lower()}, not int8",
        "quantize to QInt8 and store an int8 zero point",
    )


def _zero_point(view: View, node: onnx.NodeProto) -> Iterator[Violation]:
    name = argument(node, 2)
    value = view.value(name)
    if name and (value is None or np.any(value != 0)):
        what = "computed at run time" if value is None else f"{value[value != 0][0]}"
        yield Violation(
            "zero point",
            named(node),
            f"the zero point of {node.input[0]} is {what}, not 0",
            "quantize symmetrically: ActivationSymmetric and WeightSymmetric in ONNX Runtime",
        )


def _scale(view: View, node: onnx.NodeProto) -> Iterator[Violation]:
    value = view.value(node.input[1])
    wrong = ""
    if value is None:
        wrong = "is computed at run time"
    elif value.dtype != np.float32:
        wrong = f"is {value.dtype}"
    elif value.ndim > 1:
        wrong = f"has the shape {value.shape}"
    elif not value.size:
        wrong = "is empty"
    elif not np.all(np.isfinite(value) & (value > 0)):
        wrong = f"contains {value[~(np.isfinite(value) & (value > 0))][0]}"
    if wrong:
        yield Violation(
            "scale",
            named(node),
            f"the scale of {node.input[0]} {wrong}",
            "store constant float32 scales above 0: one for all channels or one per channel",
        )


def _size(view: View, node: onnx.NodeProto) -> int:
    value = view.value(node.input[1])
    return 1 if value is None else int(value.size)


def _paired(view: View, node: onnx.NodeProto) -> Iterator[Violation]:
    users = view.consumers.get(node.output[0], [])
    others = [named(u) for u in users if u.op_type != "DequantizeLinear"]
    if any(out.name == node.output[0] for out in view.model.graph.output):
        others.append("the graph's output")
    if others or not users:
        yield Violation(
            "pair",
            named(node),
            f"its output goes to {', '.join(others) or 'nothing'}, not to a DequantizeLinear",
            "follow each QuantizeLinear with a DequantizeLinear",
        )


def _same(view: View, quantize: onnx.NodeProto, node: onnx.NodeProto) -> Iterator[Violation]:
    """Require equal scales and zero points in a Q/DQ pair; `_quantize` checks their values."""
    for at, what in ((1, "scale"), (2, "zero point")):
        one, two = (view.value(argument(n, at)) for n in (quantize, node))
        if at == 2 and two is None and not argument(node, at):
            continue
        if one is None or two is None or not np.array_equal(one, two):
            yield Violation(
                "pair",
                named(node),
                f"its {what} differs from that of {named(quantize)}",
                "give both nodes of the pair the same initialisers",
            )
            return


def _placement(view: View, node: onnx.NodeProto) -> Iterator[Violation]:
    source = view.producers.get(node.input[0])
    if source is None or source.op_type not in WEIGHTED:
        return
    for dequantize in view.consumers.get(node.output[0], []):
        for user in view.consumers.get(dequantize.output[0], []):
            if user.op_type in FOLLOWERS:
                yield Violation(
                    "placement",
                    named(node),
                    f"a Q/DQ pair stands between {named(source)} and {named(user)}",
                    "quantize after the activation:"
                    " OpTypesToExcludeOutputQuantization in ONNX Runtime",
                )
                return


def _weight(view: View, node: onnx.NodeProto) -> tuple[onnx.NodeProto, onnx.TensorProto] | None:
    """The DequantizeLinear of a node's weight, and the constant that it reads; None if there is
    none."""
    dequantize = view.producer(argument(node, 1), "DequantizeLinear")
    weight = None if dequantize is None else view.weight_of(dequantize)
    if dequantize is None or weight is None or not weight.dims:
        return None
    return dequantize, weight


def _channels(node: onnx.NodeProto) -> int:
    """The axis of the output channels in a weight; -1 is the last."""
    return 0 if node.op_type == "Conv" or attribute(node, "transB", 0) else -1


def _weights(view: View, node: onnx.NodeProto) -> Iterator[Violation]:
    found = _weight(view, node)
    if found is None or _size(view, found[0]) == 1:
        return
    (dequantize, weight), rank = found, len(found[1].dims)
    wanted = _channels(node) % rank
    pair = (view.producer(dequantize.input[0], "QuantizeLinear"), dequantize)
    for axis in (attribute(n, "axis", 1) % rank for n in pair if n is not None):
        if axis != wanted:
            yield Violation(
                "axis",
                named(dequantize),
                f"{weight.name} of {named(node)} is quantized along axis {axis}",
                f"quantize it along axis {wanted}, its output channels",
            )
            return
    if (scales := _size(view, dequantize)) != weight.dims[wanted]:
        yield Violation(
            "channels",
            named(dequantize),
            f"{weight.name} of {named(node)} has {weight.dims[wanted]} channels"
            f" but {scales} scales",
            "give one scale per output channel",
        )
