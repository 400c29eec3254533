"""Differences between TensorRT 8.6, 10 and 11, found by feature, never by version number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ostiary.edge.runtime.engines import Precision
from ostiary.export.engine.order import BuildStep

if TYPE_CHECKING:
    import tensorrt

WITHOUT_INT8 = ("sm_50", "sm_52", "sm_53", "sm_60", "sm_62")
"""GPUs without integer dot products, such as the first Jetson Nano (sm_53) and the TX2 (sm_62)."""
Heard = Callable[[BuildStep], None]


def network_flags(trt: Any) -> int:
    """Flags for a new network: 8.6 needs EXPLICIT_BATCH for ONNX, 11 has no such flag."""
    known = trt.NetworkDefinitionCreationFlag
    return 1 << int(known.EXPLICIT_BATCH) if hasattr(known, "EXPLICIT_BATCH") else 0


def precisions(
    trt: Any, builder: tensorrt.Builder, sm: str
) -> tuple[dict[Precision, list[str]], str]:
    """The builder flags of each precision that can be built, and why one is missing.

    Up to TensorRT 10 a graph with Q/DQ pairs needs the flag INT8, and layers in float may run in
    half precision. TensorRT 11 has neither flag: each layer runs in its type in the ONNX file.
    """
    known = trt.BuilderFlag
    half = ["FP16"] if hasattr(known, "FP16") else []
    found: dict[Precision, list[str]] = {"fp32": []}
    if half:
        found["fp16"] = half
    fast = getattr(builder, "platform_has_fast_int8", True) and sm not in WITHOUT_INT8
    if fast:
        found["int8"] = ["INT8", *half] if hasattr(known, "INT8") else []
    lacks = [] if fast else [f"{sm} has no int8"]
    lacks += [] if half else ["this TensorRT has no FP16 flag: float layers run in fp32"]
    return found, "; ".join(lacks)


def set_flags(trt: Any, config: tensorrt.IBuilderConfig, names: list[str]) -> None:
    """Switch on builder flags by name; their numbers differ from version to version."""
    for name in names:
        config.set_flag(getattr(trt.BuilderFlag, name))


def watch(trt: Any, config: tensorrt.IBuilderConfig, heard: Heard) -> None:
    """Report the builder's progress to `heard`; TensorRT 8.6 cannot report it."""
    if not hasattr(trt, "IProgressMonitor"):
        return

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.totals: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
            self.totals[phase_name] = num_steps
            heard(BuildStep(phase_name, 0, num_steps))

        def phase_finish(self, phase_name: str) -> None:
            total = self.totals.get(phase_name, 0)
            heard(BuildStep(phase_name, total, total))

        def step_complete(self, phase_name: str, step: int) -> bool:
            heard(BuildStep(phase_name, step + 1, self.totals.get(phase_name, 0)))
            return True

    config.progress_monitor = Monitor()
