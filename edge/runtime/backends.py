"""Which backend runs the models: by name, or the first that is installed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.errors import BackendError
from ostiary.edge.runtime.runner import Backend

CPU = ("openvino", "onnxruntime")
AUTO = ("tensorrt", *CPU)


@dataclass(frozen=True, slots=True)
class Choice:
    """The backends to try, in order, and why other installed backends are left out."""

    found: list[Backend]
    refused: list[str]


def backends(
    choice: str, threads: int, cache: Path | None = None, engines: Path | None = None
) -> Choice:
    """The backends of a choice. `auto` is TensorRT, then OpenVINO, then ONNX Runtime.

    `openvino-f32` keeps OpenVINO from computing in bfloat16 on processors that can. TensorRT runs
    the engines of the folder `engines`, and is not tried without one.

    Raises BackendError if none of the backends can be used.
    """
    names = list(AUTO) if choice == "auto" else [choice]
    if engines is None and choice == "auto":
        names.remove("tensorrt")
    found: list[Backend] = []
    missing: list[str] = []
    refused: list[str] = []
    for name in names:
        try:
            found.append(_make(name, threads, cache, engines))
        except ModuleNotFoundError as error:
            missing.append(f"{name}: {error}")
            if name == "tensorrt" and engines is not None and engines.is_dir():
                refused.append(missing[-1])
        except ImportError as error:
            refused.append(f"{name}: {error}")
        except BackendError as error:
            refused.append(f"{name}: {error.message}")
    if not found:
        raise BackendError(
            f"no backend can be used ({'; '.join(dict.fromkeys(missing + refused))})",
            "pip install 'ostiary[cpu]', or on a Jetson see docs/device.md",
        )
    return Choice(found, refused)


def _make(name: str, threads: int, cache: Path | None, engines: Path | None) -> Backend:
    # Import the chosen backend only: a device has one of these packages installed, not all.
    if name == "tensorrt":
        from ostiary.edge.runtime.trt import TensorRtBackend

        if engines is None:
            raise BackendError("no folder of engines was given", "run the command with a profile")
        return TensorRtBackend(engines)
    if name in ("openvino", "openvino-f32"):
        from ostiary.edge.runtime.ovino import OpenVinoBackend

        return OpenVinoBackend(threads, cache, "f32" if name.endswith("f32") else None)
    if name == "onnxruntime":
        from ostiary.edge.runtime.onnxrt import OnnxRuntimeBackend

        return OnnxRuntimeBackend(threads)
    raise BackendError(f"unknown backend {name!r}", f"use one of auto, {', '.join(AUTO)}")
