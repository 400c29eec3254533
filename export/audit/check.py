"""Checks that TensorRT will read an ONNX file as intended: opset, operators, shapes, Q/DQ.

The audit needs neither TensorRT nor a GPU. OPERATORS lists the operators that face encoders use
and TensorRT 8.6 reads; any other is refused here by name, before a build on the device fails.
`trtcheck` was considered and rejected: its table lacks Flatten, and it has no rule on Q/DQ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto, external_data_helper

from ostiary.edge.errors import BundleError
from ostiary.export.audit.rules import WEIGHTED, is_int8, per_tensor, quantization
from ostiary.export.audit.view import View, Violation, attribute, named

__all__ = ["Audit", "Violation", "audit", "audit_file"]

OPSETS = (13, 17)
"""The first opset with per-channel Q/DQ, and the last that TensorRT 8.6 (JetPack 6.0) reads."""
QDQ = ("QuantizeLinear", "DequantizeLinear")
QOPERATORS = (
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeLinear",
)
_ENCODERS_USE = """
QuantizeLinear DequantizeLinear Conv Gemm MatMul
PRelu Relu LeakyRelu Clip Elu Selu Softplus Erf Tanh Sigmoid HardSigmoid HardSwish Softmax
Add Sub Mul Div Pow Sqrt Exp Abs Neg Max Min Sum
BatchNormalization InstanceNormalization LayerNormalization LpNormalization
AveragePool MaxPool GlobalAveragePool GlobalMaxPool
ReduceMean ReduceSum ReduceMax ReduceL2 ReduceSumSquare
Flatten Reshape Transpose Squeeze Unsqueeze Concat Split Slice
Gather Shape Expand Pad Cast Constant Identity Dropout
"""
OPERATORS = frozenset(_ENCODERS_USE.split())
DOMAINS = ("", "ai.onnx")
MAX_INT32 = 2**31 - 1
MODEL = "model"
"""Takes the place of a node's name in a violation that concerns the whole file."""


class Audit(msgspec.Struct, frozen=True):
    """What an ONNX file holds and what TensorRT would refuse or misread in it."""

    file: str
    sha256: str
    opset: int
    quantized: int
    """Number of Conv, Gemm and MatMul nodes that multiply int8 by int8."""
    floating: list[str]
    """Names of the Conv, Gemm and MatMul nodes that compute in float."""
    violations: list[Violation]
    notes: list[str] = []
    """What is legal but could be more exact."""

    @property
    def passed(self) -> bool:
        return not self.violations


def audit(model: onnx.ModelProto, file: str = "", expect_int8: bool = True) -> Audit:
    """Check a model against every rule; with `expect_int8` False a float model passes.

    An Add may have float inputs, quantized inputs, or one of each: see export/audit/rules.py.
    """
    data = model.SerializeToString(deterministic=True)
    return _audit(model, file, hashlib.sha256(data).hexdigest(), expect_int8)


def audit_file(path: Path, expect_int8: bool | None = None) -> Audit:
    """Audit a file; `expect_int8` None expects int8 if the file has any quantization node.

    Raises BundleError if the file or its external data cannot be read as ONNX.
    """
    try:
        data = path.read_bytes()
        model = onnx.ModelProto.FromString(data)
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except DecodeError as error:
        raise _no_onnx(path, str(error)) from error
    except OSError as error:
        hint = "keep an ONNX file and its external data in one folder"
        where = error.filename or path
        raise BundleError(f"{where} cannot be read: {error.strerror or error}", hint) from error
    except (onnx.checker.ValidationError, ValueError) as error:
        hint = "copy the external data into the folder of the file"
        raise BundleError(f"the external data of {path} is missing: {error}", hint) from error
    if not model.graph.node:
        raise _no_onnx(path, "it has no graph")
    if not all(isinstance(text, str) for text in _names(model)):
        # The parser returns a name that is not valid UTF-8 as bytes.
        raise _no_onnx(path, "it has names that are not valid UTF-8")
    if expect_int8 is None:
        expect_int8 = any(n.op_type in QDQ + QOPERATORS for n in model.graph.node)
    return _audit(model, str(path), hashlib.sha256(data).hexdigest(), expect_int8)


def _names(model: onnx.ModelProto) -> Iterator[object]:
    for node in model.graph.node:
        yield from (node.op_type, node.domain, node.name, *node.input, *node.output)
    for tensor in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        yield tensor.name
    for imported in model.opset_import:
        yield imported.domain


def _no_onnx(path: Path, why: str) -> BundleError:
    return BundleError(f"{path} is not an ONNX model: {why}", "give the .onnx file of the export")


def _audit(model: onnx.ModelProto, file: str, sha256: str, expect_int8: bool) -> Audit:
    opset = next((o.version for o in model.opset_import if o.domain in DOMAINS), 0)
    found = [*_opset(opset), *_domains(model), *_operators(model, opset)]
    broken = _broken(model, opset)
    if broken:
        # The other rules need a valid graph.
        return Audit(file, sha256, opset, 0, [], found + broken)
    view = View(model)
    weighted = list(view.nodes(*WEIGHTED))
    floating = [named(node) for node in weighted if not is_int8(view, node)]
    quantized = len(weighted) - len(floating)
    found += [*_edges(view), *_unused(view), *_doubles(view)]
    if not any(violation.rule == "format" for violation in found):
        # A QOperator leaves no whole Q/DQ pair, so findings on pairs would only repeat the one on
        # it.
        found += quantization(view)
    if expect_int8 and not quantized:
        cure = "quantize the inputs and weights of every Conv and Gemm"
        found.append(Violation("quantized", MODEL, "nothing is quantized", cure))
    notes = [f"{name} has one weight scale for all channels" for name in per_tensor(view)]
    return Audit(file, sha256, opset, quantized, floating, found, notes)


def _opset(opset: int) -> Iterator[Violation]:
    first, last = OPSETS
    if not first <= opset <= last:
        problem = f"opset {opset}; TensorRT on JetPack 6 and later needs {first} to {last}"
        yield Violation("opset", MODEL, problem, f"export with opset {first} to {last}")


def _domains(model: onnx.ModelProto) -> Iterator[Violation]:
    used = {node.domain for node in model.graph.node}
    for imported in model.opset_import:
        if imported.domain not in DOMAINS and imported.domain not in used:
            problem = f"the operator set {imported.domain} is imported but not used"
            yield Violation("domain", MODEL, problem, "remove the import")


def _operators(model: onnx.ModelProto, opset: int) -> Iterator[Violation]:
    for node in model.graph.node:
        kind, home = node.op_type, node.domain in DOMAINS
        if kind in QOPERATORS or node.domain == "com.microsoft":
            problem = f"{kind} of {node.domain or 'ONNX'} is not in Q/DQ format"
            cure = "quantize with quant_format QDQ at opset 13 to 17"
            yield Violation("format", named(node), problem, cure)
        elif not home or not _known(kind, opset):
            where = f"{node.domain or 'ONNX'} {opset if home else ''}".rstrip()
            problem = f"the operator {kind} of {where} is unknown"
            yield Violation("operator", named(node), problem, "export with standard operators")
        elif kind not in OPERATORS:
            problem = f"{kind} is not among the operators that TensorRT 8.6 is known to read"
            yield Violation("operator", named(node), problem, "export the encoder without it")


def _known(kind: str, opset: int) -> bool:
    return bool(onnx.defs.has(kind, min(opset, MAX_INT32)) if opset else onnx.defs.has(kind))


def _broken(model: onnx.ModelProto, opset: int) -> list[Violation]:
    """Faults that onnx.checker finds: a missing tensor, a cycle, truncated weights."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.domain in DOMAINS and not _known(node.op_type, opset):
            # `_operators` reports this node already; give it a domain that onnx.checker ignores.
            node.domain = "unknown"
    copy.opset_import.append(onnx.helper.make_opsetid("unknown", 1))
    try:
        onnx.checker.check_model(copy)
    except (onnx.checker.ValidationError, ValueError) as error:
        text = " ".join(str(error).split())
        return [Violation("graph", MODEL, text, "export it again: onnx.checker refuses it")]
    return []


def _edges(view: View) -> Iterator[Violation]:
    """Require one float32 input and one float32 output, whose only open axis is the batch."""
    graph = view.model.graph
    inputs = [v for v in graph.input if v.name not in view.tensors]
    for what, values in (("input", inputs), ("output", list(graph.output))):
        if len(values) != 1:
            problem = f"{len(values)} {what}s: {', '.join(v.name for v in values)}"
            yield Violation(what, MODEL, problem, f"export with one {what}")
        for value in values:
            yield from _edge(what, value)


def _edge(what: str, value: onnx.ValueInfoProto) -> Iterator[Violation]:
    tensor = value.type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT:
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        yield Violation(what, value.name, f"the {what} is {kind}", "export with float32")
    if len(tensor.shape.dim) < 2:
        yield Violation("shape", value.name, f"the {what} has no shape", "export with its shape")
    for axis, dim in enumerate(tensor.shape.dim):
        if axis and dim.dim_value < 1:
            problem = f"axis {axis} of the {what} has no fixed size: {dim.dim_param or 'open'}"
            cure = "give it a fixed size: only axis 0, the batch, may vary"
            yield Violation("shape", value.name, problem, cure)


def _unused(view: View) -> Iterator[Violation]:
    kept = {value.name for value in view.model.graph.output}
    for tensor in view.model.graph.initializer:
        if tensor.name not in view.consumers and tensor.name not in kept:
            yield Violation("unused", tensor.name, "no node uses this initialiser", "remove it")


def _doubles(view: View) -> Iterator[Violation]:
    """Refuse float64, which TensorRT lacks; int64 is allowed, as Reshape needs it for shapes."""
    cure = "export with float32"
    for name, tensor in view.tensors.items():
        if tensor.data_type == TensorProto.DOUBLE:
            yield Violation("double", name, "float64, which TensorRT lacks", cure)
    for node in view.nodes("Cast"):
        if attribute(node, "to") == TensorProto.DOUBLE:
            yield Violation("double", named(node), "a Cast to float64", cure)
