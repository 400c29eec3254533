"""Builds an ONNX file into a plan, with any version of TensorRT."""

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

HINT = "run ostiary-export audit on the file: it names the broken rule"
MAX_ERRORS = 3
"""The most parser errors in a message; later errors mostly follow from the first."""


def build(trt: Any, order: Build, heard: Heard) -> Built:
    """Parse a model, build its plan, write it. Raises BundleError that names refused nodes."""
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
    # At lower verbosity the inspector does not say in which type a layer computes.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    _shape(builder, network, config, order.batches)
    dialect.watch(trt, config, heard)
    cache = Path(order.timing_cache) if order.timing_cache else None
    if cache is not None:
        _recall(config, cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BundleError(f"{trt.__name__} cannot build the model: {logger.last()}", HINT)
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
        # TensorRT 8.6 gives only the node's number.
        if not hasattr(error, "node_operator"):
            return f"node {error.node()}: {error.desc()}"
        where = f"{error.node_name()} ({error.node_operator()}): " if error.node_operator() else ""
        return f"{where}{error.desc()}"
    except UnicodeDecodeError:
        return "a node whose name is not valid UTF-8"


def _aim(trt: Any, config: Any, compute: str) -> None:
    """Build for a GPU that this machine may lack, e.g. sm86; only TensorRT for RTX can do this."""
    known = trt.ComputeCapability.__members__
    if compute.upper() not in known:
        names = ", ".join(sorted(name.lower() for name in known if name.startswith("SM")))
        raise BackendError(f"TensorRT for RTX cannot build for {compute}", f"give one of {names}")
    config.num_compute_capabilities = 1
    config.set_compute_capability(known[compute.upper()], 0)


def _shape(
    builder: tensorrt.Builder,
    network: tensorrt.INetworkDefinition,
    config: tensorrt.IBuilderConfig,
    batches: tuple[int, int, int],
) -> None:
    """Set the sizes of an open batch axis. At a door it is 1, so that runs fit a CUDA graph."""
    profile = builder.create_optimization_profile()
    opened = False
    for at in range(network.num_inputs):
        entry = network.get_input(at)
        dims = [int(entry.shape[axis]) for axis in range(len(entry.shape))]
        if min(dims[1:], default=1) < 0:
            raise BundleError(
                f"the input {entry.name} has the open shape {tuple(dims)}",
                "export it with no open axis but the batch",
            )
        if dims[0] < 0:
            opened = True
            shapes: list[Any] = [(n, *dims[1:]) for n in batches]  # TensorRT accepts tuples as Dims
            profile.set_shape(entry.name, *shapes)
    if opened:
        config.add_optimization_profile(profile)


def _recall(config: tensorrt.IBuilderConfig, cache: Path) -> None:
    """Load earlier timings; a cache of another device or version is replaced by an empty one."""
    try:
        earlier = cache.read_bytes()
    except OSError:
        earlier = b""
    if not config.set_timing_cache(config.create_timing_cache(earlier), ignore_mismatch=False):
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
