"""Makes ONNX of a file of weights and the described network they belong to."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ostiary.edge.core.faces.preprocess import InputSpec, averaged, to_tensor
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BundleError, ConfigError
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.export.networks import in_torch, to_onnx
from ostiary.export.networks.minifasnet import NETWORKS
from ostiary.export.networks.parts import Network
from ostiary.export.sources import modules, proof, tidy, torch_forms

PARALLEL = "module."
"""What torch.nn.DataParallel puts before the name of each tensor."""
BLOCKS_PX = (1, 4, 16)
"""Sides of the squares in the noise that both forms are compared on, from fine to coarse."""
PORTRAIT_ROWS = (480, 360, 240)
"""Heights of the middle parts of the portrait that both forms are compared on."""


def convert(path: Path, graph: str, entry: ModelEntry) -> bytes:
    """The ONNX file of the weights in `path`, with the ports that `entry` names.

    `graph` is one of NETWORKS. Every tensor of the file must be one of the network's, and the
    result is compared with PyTorch's. Raises BundleError, and ConfigError if `entry` does not fit
    the network.
    """
    network = NETWORKS[graph]
    _check_entry(entry, graph, network)
    torch = torch_forms.import_torch()
    state = _state(path, graph, network, torch)
    tensors: dict[str, Floats] = {name: value.numpy() for name, value in state.items()}
    model = tidy.strip(to_onnx.write(network, tensors, entry.input, entry.outputs[0]))
    model.graph.name = graph
    tidy.check(model, str(path))
    run = proof.runner(model)
    for image in images(entry.spec):
        expected = in_torch.run(network, state, image, torch)
        proof.same(run(image)[0], expected, f"the ONNX form of {path} differs from PyTorch")
        if not np.isfinite(expected).all():
            raise BundleError(f"{path} gives logits that are not finite numbers", _hint(graph))
    return bytes(model.SerializeToString())


def images(spec: InputSpec) -> list[Floats]:
    """Inputs (1, channels, height, width) of noise, always the same, and of parts of the portrait
    that comes with Ostiary."""
    rng = np.random.default_rng(0)
    height, width = spec.size_px
    shown = []
    for block in BLOCKS_PX:
        noise = rng.integers(0, 256, (-(-height // block), -(-width // block), 3))
        shown.append(noise.repeat(block, 0).repeat(block, 1)[:height, :width].astype(np.uint8))
    encoded = (resources.files("ostiary.export") / "assets" / "portrait.jpg").read_bytes()
    portrait = np.asarray(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR))
    middle = portrait.shape[0] // 2, portrait.shape[1] // 2
    for rows in PORTRAIT_ROWS:
        part = [slice(at - rows // 2, at + rows // 2) for at in middle]
        shown.append(averaged(np.asarray(portrait[part[0], part[1]], np.uint8), spec))
    return [to_tensor(image, spec) for image in shown]


def _check_entry(entry: ModelEntry, graph: str, network: Network) -> None:
    side = network.side_px
    faults = {
        f"size_px = [{side}, {side}]": entry.size_px != (side, side),
        'channels = "bgr" or "rgb"': entry.channels == "gray",
        "one output": len(entry.outputs) != 1,
        f"live from 0 to {network.classes - 1}": entry.live >= network.classes,
    }
    wanted = [text for text, wrong in faults.items() if wrong]
    if wanted:
        raise ConfigError(f"the entry of {entry.file} does not fit {graph}: {', '.join(wanted)}")


def _state(path: Path, graph: str, network: Network, torch: Any) -> dict[str, Any]:
    """The network's tensors, as the file has them."""
    found = modules.read_state(path, torch)
    if found and all(name.startswith(PARALLEL) for name in found):
        found = {name.removeprefix(PARALLEL): value for name, value in found.items()}
    state = {name: value for name, value in found.items() if name not in network.counters()}
    modules.check_fit(state, network.tensors(), f"{path} does not fit {graph}", _hint(graph))
    wrong = [name for name, value in state.items() if value.dtype != torch.float32]
    if wrong:
        raise BundleError(f"{path}: {wrong[0]} is {state[wrong[0]].dtype}, not float32")
    return {name: value.detach() for name, value in state.items()}


def _hint(graph: str) -> str:
    others = ", ".join(name for name in NETWORKS if name != graph)
    return f"give the weights of {graph}, or the graph that these are of ({others})"
