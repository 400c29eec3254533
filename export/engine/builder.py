"""From an ONNX file to a plan, with whichever TensorRT is given."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ostiary.edge.errors import BackendError, BundleError
from ostiary.edge.files import write_atomically
from ostiary.edge.runtime.trt import make_logger
from ostiary.export.engine import dialect
from ostiary.export.engine.dialect import Heard
from ostiary.export.engine.order import Build, Built

if TYPE_CHECKING:
    import tensorrt

HINT = "ostiary-export audit names the rule that is broken"
MAX_ERRORS = 3
"""One wrong node makes others fail after it: the first few say all."""


def build(trt: Any, order: Build, heard: Heard) -> Built:
    """Parse, build, write the plan. Raises BundleError, naming the nodes, for what is refused."""
    began = time.monotonic()
    logger = make_logger(trt)
    builder: tensorrt.Builder = trt.Builder(logger)
    network = builder.create_network(dialect.network_flags(trt))
    _parse(trt, trt.OnnxParser(network, logger), Path(order.onnx).read_bytes(), logger)
    config = builder.create_builder_config()
    dialect.set_flags(trt, config, order.flags)
    if order.compute is not None:
        _aim(trt, config, order.compute)
    pool = trt.MemoryPoolType.WORKSPACE
    config.set_memory_pool_limit(pool, order.workspace_mb << 20)
    # Without it the inspector can name the layers but not what they compute in.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _shape(builder, network, config, order.batches)
    dialect.watch(trt, config, heard)
    cache = Path(order.timing_cache) if order.timing_cache else None
    if cache is not None:
        _recall(config, cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BundleError(f"{trt.__name__} can not build the model: {logger.last()}", HINT)
    if cache is not None:
        write_atomically(cache, bytes(config.get_timing_cache().serialize()))
    data = bytes(plan)
    Path(order.plan).write_bytes(data)
    spent = time.monotonic() - began
    return Built(trt.__version__, len(data), network.num_layers, spent, logger.warnings())


def _parse(trt: Any, parser: tensorrt.OnnxParser, model: bytes, logger: Any) -> None:
    if parser.parse(model):
        return
    errors = [_told(parser.get_error(at)) for at in range(min(parser.num_errors, MAX_ERRORS))]
    reason = "; ".join(errors) or logger.last()
    raise BundleError(f"{trt.__name__} refuses the model: {reason}", HINT)


def _told(error: tensorrt.ParserError) -> str:
    try:
        # 8.6 knows the node's number only.
        if not hasattr(error, "node_operator"):
            return f"node {error.node()}: {error.desc()}"
        where = f"{error.node_name()} ({error.node_operator()}): " if error.node_operator() else ""
        return f"{where}{error.desc()}"
    except UnicodeDecodeError:
        return "a node whose name is no text"


def _aim(trt: Any, config: Any, compute: str) -> None:
    """Build for a GPU that is not here; TensorRT for RTX alone can."""
    known = trt.ComputeCapability.__members__
    if compute.upper() not in known:
        names = ", ".join(sorted(name.lower() for name in known if name.startswith("SM")))
        raise BackendError(f"TensorRT for RTX builds nothing for {compute}", f"one of {names}")
    config.num_compute_capabilities = 1
    config.set_compute_capability(known[compute.upper()], 0)


def _shape(
    builder: tensorrt.Builder,
    network: tensorrt.INetworkDefinition,
    config: tensorrt.IBuilderConfig,
    batches: tuple[int, int, int],
) -> None:
    """The batch an open axis is built for: one at a door, so that its runs fit in a graph."""
    profile = builder.create_optimization_profile()
    opened = False
    for at in range(network.num_inputs):
        entry = network.get_input(at)
        dims = [int(entry.shape[axis]) for axis in range(len(entry.shape))]
        if min(dims[1:], default=1) < 0:
            raise BundleError(
                f"the input {entry.name} has the open shape {tuple(dims)}",
                "only the batch axis may vary",
            )
        if dims[0] < 0:
            opened = True
            shapes: list[Any] = [(n, *dims[1:]) for n in batches]  # tuples serve as Dims
            profile.set_shape(entry.name, *shapes)
    if opened:
        config.add_optimization_profile(profile)


def _recall(config: tensorrt.IBuilderConfig, cache: Path) -> None:
    """Take over earlier timings; a cache of another device or version is started over."""
    try:
        earlier = cache.read_bytes()
    except OSError:
        earlier = b""
    if not config.set_timing_cache(config.create_timing_cache(earlier), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
