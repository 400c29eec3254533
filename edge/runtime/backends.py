"""Which backend runs the models: by name, or whichever is here."""

from __future__ import annotations

from pathlib import Path

from edge.errors import BackendError
from edge.runtime.runner import Backend


def backends(choice: str, threads: int, cache: Path | None) -> list[Backend]:
    """The backends to try, in order. `auto` is OpenVINO, then ONNX Runtime.

    `openvino-f32` keeps OpenVINO from computing in bfloat16 where the processor has units for it.

    Raises BackendError where none that was asked for is installed.
    """
    names = ["openvino", "onnxruntime"] if choice == "auto" else [choice]
    found: list[Backend] = []
    missing: list[str] = []
    for name in names:
        try:
            found.append(_make(name, threads, cache))
        except ImportError as error:
            missing.append(f"{name}: {error}")
    if not found:
        raise BackendError(
            f"no backend is installed ({'; '.join(missing)})", "pip install 'ostiary[cpu]'"
        )
    return found


def _make(name: str, threads: int, cache: Path | None) -> Backend:
    # Imported here: a device has one of these installed, not all.
    if name in ("openvino", "openvino-f32"):
        from edge.runtime.ovino import OpenVinoBackend

        return OpenVinoBackend(threads, cache, "f32" if name.endswith("f32") else None)
    if name == "onnxruntime":
        from edge.runtime.onnxrt import OnnxRuntimeBackend

        return OnnxRuntimeBackend(threads)
    raise BackendError(f"unknown backend {name!r}", "one of auto, openvino, onnxruntime")
