"""A build with TensorRT for RTX, which needs no GPU: what TensorRT's own parser says of a file.

It proves that the graph is legal, not that int8 kernels are chosen nor how fast they are. The
engine made is measured and dropped: reading one back without a GPU is what can end the process.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from typing import Any

import msgspec

from edge.errors import BundleError

CHILD = "from export.rtx import child; child()"
AUDIT_HINT = "export.audit names the rule that is broken"
BATCHES = (1, 1, 8)
"""The smallest, the usual and the largest batch of the engine."""
MAX_ERRORS = 3
"""One wrong node makes others fail after it: the first few say all."""


class RtxBuild(msgspec.Struct, frozen=True):
    """What became of a file that TensorRT for RTX takes."""

    compute: str
    version: str
    engine_bytes: int
    layers: int
    """Of the network as parsed, before fusion."""
    messages: list[str]
    """The warnings."""


class _Outcome(msgspec.Struct, frozen=True):
    built: RtxBuild | None
    refusal: str = ""
    hint: str = ""


def rtx_available() -> str:
    """Empty where TensorRT for RTX can be used, else why not."""
    try:
        importlib.import_module("tensorrt_rtx")
    except (ImportError, OSError) as error:
        return f"tensorrt_rtx can not be loaded: {error}"
    return ""


def build_for_rtx(model: bytes, compute: str = "sm86") -> RtxBuild:
    """Parse an ONNX model and build it for a GPU this machine need not have.

    Raises BundleError, naming the nodes, for what is refused.
    """
    reason = rtx_available()
    if reason:
        raise BundleError(reason, "pip install tensorrt_rtx, on x86-64 Linux or Windows")
    return _apart(model, compute)


def _apart(model: bytes, compute: str) -> RtxBuild:
    """The build in a process of its own: the parser segfaults on a damaged file."""
    command = [sys.executable, "-c", CHILD, compute]
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, input=model, capture_output=True, env=there, check=False)
    if done.returncode:
        raise BundleError(
            "TensorRT for RTX refuses the model: its process died of it"
            f" with status {done.returncode}",
            AUDIT_HINT,
        )
    outcome = msgspec.json.decode(done.stdout, type=_Outcome)
    if outcome.built is None:
        raise BundleError(outcome.refusal, outcome.hint)
    return outcome.built


def child() -> None:
    """The other process: a model on standard input, the outcome in JSON on standard output."""
    answer = os.dup(1)
    os.dup2(2, 1)  # What a library prints must not stand in the JSON.
    try:
        outcome = _Outcome(_build(sys.stdin.buffer.read(), sys.argv[1]))
    except BundleError as error:
        outcome = _Outcome(None, error.message, error.hint)
    with os.fdopen(answer, "wb") as stream:
        stream.write(msgspec.json.encode(outcome))


def _build(model: bytes, compute: str) -> RtxBuild:
    trt = importlib.import_module("tensorrt_rtx")
    logger = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    _parse(trt.OnnxParser(network, logger), model, logger)
    config = _config(trt, builder, network, compute)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise BundleError(
            f"TensorRT for RTX can not build the model: {_last(logger.errors())}", AUDIT_HINT
        )
    return RtxBuild(compute, trt.__version__, engine.nbytes, network.num_layers, logger.warnings())


def _logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]
        """Keeps what TensorRT would print."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.heard: list[tuple[str, str]] = []

        def log(self, severity: Any, text: str) -> None:
            if severity.name not in ("VERBOSE", "INFO"):
                self.heard.append((severity.name, text))

        def warnings(self) -> list[str]:
            return [text for severity, text in self.heard if severity == "WARNING"]

        def errors(self) -> list[str]:
            return [text for severity, text in self.heard if severity != "WARNING"]

    return Logger()


def _parse(parser: Any, model: bytes, logger: Any) -> None:
    if parser.parse(model):
        return
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    told = [_told(error) for error in errors[:MAX_ERRORS]]
    raise BundleError(
        f"TensorRT for RTX refuses the model: {'; '.join(told) or _last(logger.errors())}",
        AUDIT_HINT,
    )


def _told(error: Any) -> str:
    try:
        where = f"{error.node_name()} ({error.node_operator()}): " if error.node_operator() else ""
        return f"{where}{error.desc()}"
    except UnicodeDecodeError:
        return "a node whose name is no text"


def _last(errors: list[str]) -> str:
    return errors[-1] if errors else "it does not say why"


def _config(trt: Any, builder: Any, network: Any, compute: str) -> Any:
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(_capability(trt, compute), 0)
    profile = builder.create_optimization_profile()
    for at in range(network.num_inputs):
        entry = network.get_input(at)
        batch, *rest = entry.shape
        if min(rest, default=1) < 0:
            raise BundleError(
                f"the input {entry.name} has the open shape {tuple(entry.shape)}",
                "only the batch axis may vary",
            )
        if batch < 0:
            profile.set_shape(entry.name, *((n, *rest) for n in BATCHES))
    if profile:
        config.add_optimization_profile(profile)
    return config


def _capability(trt: Any, compute: str) -> Any:
    known = trt.ComputeCapability.__members__
    if compute.upper() not in known:
        names = ", ".join(sorted(name.lower() for name in known if name.startswith("SM")))
        raise BundleError(f"TensorRT for RTX builds nothing for {compute}", f"one of {names}")
    return known[compute.upper()]
