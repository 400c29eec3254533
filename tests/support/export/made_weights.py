"""Weights of a described network that nobody trained, and a recipe that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ostiary.edge.runtime.bundle import sha256
from ostiary.export.networks.minifasnet import NETWORKS

LARGE = 3e4
"""About what random layers make of pixels 0..255; the last layer takes it back, so that the logits
are a few units, as trained ones are."""


def state(graph: str, seed: int = 0) -> dict[str, Any]:
    """A state dict as a training on several GPUs saves it: gains, means and slopes of all sizes, so
    that no tensor could be mixed up with another one, and the counters of steps."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for name, shape in NETWORKS[graph].tensors().items():
        values = rng.normal(0, 1 / np.sqrt(np.prod(shape[1:], initial=1)), shape)
        if len(shape) == 1 and not name.endswith(("bias", "mean")):
            values = rng.uniform(0.5, 1.5, shape)
        if name == "prob.weight":
            values /= LARGE
        found[f"module.{name}"] = torch.from_numpy(values.astype(np.float32))
    for name in NETWORKS[graph].counters():
        found[f"module.{name}"] = torch.tensor(7)
    return found


def write(folder: Path, graph: str, name: str, seed: int = 0) -> Path:
    """The state dict as a file."""
    torch.save(state(graph, seed), folder / name)
    return folder / name


def tables(file: Path, graph: str, name: str, live: int = 1, box_factor: float = 2.7) -> str:
    """The tables of one further passive model in a recipe beside its weights."""
    return f"""
[models.{name}.weights]
file = "{file.name}"
graph = "{graph}"
sha256 = "{sha256(file.read_bytes())}"
licence = "nobody's"
[models.{name}.entry]
file = "{name}.onnx"
input = "input"
outputs = ["logits"]
size_px = [80, 80]
channels = "bgr"
mean = 0.0
scale = 1.0
box_factor = {box_factor}
live = {live}
"""
