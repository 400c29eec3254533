"""Converts TorchScript, torch.export programs and modules to ONNX, checked against PyTorch."""

from __future__ import annotations

import importlib
import inspect
import io
import logging
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from ostiary.edge.errors import BundleError
from ostiary.export.sources import archive, ports, proof
from ostiary.export.sources.modules import build
from ostiary.export.sources.spec import EncoderSource

OPSET = 18
"""The lowest opset of PyTorch's newer exporter; the model is converted to 17 later."""
NEWEST_NEEDED = (2, 9)
# PyTorch raises these for a file or a network that it cannot convert.
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.PickleError,
    zipfile.BadZipFile,
)
DEPRECATED = (
    (r"`torch\.jit\.load` is deprecated", DeprecationWarning),
    (r"You are using the legacy TorchScript-based ONNX export", DeprecationWarning),
    (r"The feature will be removed", DeprecationWarning),
    (r"no signature found for <torch\.ScriptMethod", UserWarning),
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),
)
"""Warnings of PyTorch about its own parts, which the user cannot act on."""
CHATTY = (
    "torch.onnx._internal.exporter._registration",
    "torch._export.non_strict_utils",
    "torch.export",
    "torch.export.pt2_archive._package",
)


def script(path: Path, spec: EncoderSource) -> onnx.ModelProto:
    """Convert a TorchScript file to ONNX. Raises BundleError."""
    torch = import_torch()
    archive.vet_script(path)
    with _quiet(), _named(f"this torch cannot load the TorchScript {path}"):
        loaded = torch.jit.load(str(path), map_location="cpu").eval()
        names = [a.name for a in loaded.forward.schema.arguments[1:] if not a.has_default_value()]
    ports.check_count(names, spec)
    images = _samples(spec, torch, 1)
    file = io.BytesIO()
    with _quiet(), _named(_refusal(spec)):
        torch.onnx.export(
            loaded,
            images,
            file,
            dynamo=False,
            opset_version=17,
            input_names=names,
            dynamic_axes={name: {0: ports.BATCH} for name in names},
        )
    return _checked(onnx.load_from_string(file.getvalue()), loaded, images, spec, torch)


def program(path: Path, spec: EncoderSource) -> onnx.ModelProto:
    """Convert a torch.export program to ONNX. Raises BundleError."""
    torch = import_torch()
    if not spec.trust_pickle:
        archive.vet_program(path, torch)
    verifier = importlib.import_module("torch._export.verifier")
    unknown = f"this torch cannot load the program {path}"
    with _quiet(), _named(unknown, archive.RESAVE, verifier.SpecViolationError):
        loaded = torch.export.load(str(path))
    nodes = {node.name: node for node in loaded.graph.nodes}
    names = list(loaded.graph_signature.user_inputs)
    ports.check_count([str(name) for name in names], spec)
    with _named(_refusal(spec)):
        images = tuple(_example(nodes[name].meta["val"], spec, torch) for name in names)
    with _quiet(), _named(f"{path} cannot be exported to ONNX"):
        # Guards are Python text in the file and would run; the ONNX model is checked instead.
        plain = loaded.module(check_guards=False)
        model = _export(loaded, torch)
    return _checked(model, plain, images, spec, torch)


def module(spec: EncoderSource, folder: Path) -> onnx.ModelProto:
    """Convert the module of a factory, with its state dict, to ONNX. Raises BundleError."""
    return of_module(build(spec, folder, import_torch(), FAULTS), spec)


def of_module(built: Any, spec: EncoderSource) -> onnx.ModelProto:
    """Convert a module to ONNX, and leave the module in evaluation mode. Raises BundleError."""
    torch = import_torch()
    built.eval()
    signature = inspect.signature(built.forward)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ports.check_count(
        [
            p.name
            for p in signature.parameters.values()
            if p.kind in positional and p.default is p.empty
        ],
        spec,
    )
    # Use a batch of two: torch.export treats a side of one as a constant.
    images = _samples(spec, torch, 2)
    with _quiet(), _named(_refusal(spec)):
        dynamic = tuple({0: torch.export.Dim.AUTO} for _ in images)
        exported = torch.export.export(built, images, dynamic_shapes=dynamic)
    with _quiet(), _named(f"{spec.source} cannot be exported to ONNX"):
        model = _export(exported, torch)
    return _checked(model, built, images, spec, torch)


def _export(exported: Any, torch: Any) -> onnx.ModelProto:
    try:
        made = torch.onnx.export(exported, dynamo=True, opset_version=OPSET, verbose=False)
    except ImportError as error:
        raise BundleError("PyTorch cannot export to ONNX", "pip install onnxscript") from error
    model: onnx.ModelProto = made.model_proto
    return model


def import_torch() -> Any:
    """PyTorch, which only exporting takes. Raises BundleError if it is missing or too old."""
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise BundleError("this source needs PyTorch", "pip install torch") from error
    if tuple(int(n) for n in torch.__version__.split(".")[:2]) < NEWEST_NEEDED:
        # Before 2.6, loading a file with weights_only could still run code.
        raise BundleError(f"torch {torch.__version__} is too old", 'pip install "torch>=2.9"')
    return torch


def _samples(spec: EncoderSource, torch: Any, batch: int) -> tuple[Any, ...]:
    images = proof.probes(spec)
    given = (images[:batch], images[-batch:]) if spec.pair else (images[:batch],)
    return tuple(torch.from_numpy(np.ascontiguousarray(image)) for image in given)


def _example(value: Any, spec: EncoderSource, torch: Any) -> Any:
    """A random image of the size that a program was exported for."""
    free = (2, *spec.shape)
    sides = [d if isinstance(d, int) else free[i] for i, d in enumerate(value.shape)]
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.uniform(-1, 1, sides).astype(np.float32))


def _checked(
    model: onnx.ModelProto, original: Any, images: tuple[Any, ...], spec: EncoderSource, torch: Any
) -> onnx.ModelProto:
    """The export `model`. Raises BundleError if PyTorch gives other results on `images`."""
    with _quiet(), _named(_refusal(spec)), torch.no_grad():
        expected = torch.utils._pytree.tree_leaves(original(*images))
    got = proof.runner(model)(*(image.numpy() for image in images))
    tensors = [tensor for tensor in expected if isinstance(tensor, torch.Tensor)]
    if len(got) != len(tensors):
        raise BundleError(f"{spec.source} has {len(tensors)} outputs, its ONNX export {len(got)}")
    for one, other in zip(got, tensors, strict=True):
        proof.same(one, other.numpy(), f"the ONNX export of {spec.source} differs from PyTorch")
    return model


def _refusal(spec: EncoderSource) -> str:
    return f"{spec.source} does not take images (n, {', '.join(map(str, spec.shape))}) float32"


@contextmanager
def _named(what: str, hint: str = "", *more: type[Exception]) -> Iterator[None]:
    """Turn PyTorch's errors into a BundleError that says `what`, with the innermost reason."""
    faults: tuple[type[Exception], ...] = (*FAULTS, *more)
    try:
        yield
    except faults as error:
        raise BundleError(f"{what}: {reason(error)}", hint) from error


def reason(error: BaseException) -> str:
    """The first line of the first cause in a chain of errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence PyTorch's warnings about its own future."""
    loggers = [logging.getLogger(name) for name in CHATTY]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for message, category in DEPRECATED:
            warnings.filterwarnings("ignore", message, category)
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
