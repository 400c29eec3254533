"""Runs a described network in PyTorch, as the reference for its ONNX form."""

from __future__ import annotations

from typing import Any

from ostiary.edge.core.types import Floats
from ostiary.export.networks.parts import EPSILON, NORM, ConvolutionRow, Network


def run(network: Network, state: dict[str, Any], images: Floats, torch: Any) -> Floats:
    """The logits (n, classes) of images (n, 3, side, side), with the tensors of a state dict."""
    with torch.no_grad():
        shown = torch.from_numpy(images)
        for block in network.blocks:
            before = shown
            for row in block.convolutions:
                shown = _convolved(row, state, shown, torch)
            if block.gates:
                gate = shown.mean((2, 3), keepdim=True)
                for row in block.gates:
                    gate = _convolved(row, state, gate, torch)
                shown = shown * gate
            if block.residual:
                shown = before + shown
        logits: Floats = shown.flatten(1).numpy()
    return logits


def _convolved(row: ConvolutionRow, state: dict[str, Any], shown: Any, torch: Any) -> Any:
    functional = torch.nn.functional
    kernel = state[row.weight]
    if kernel.ndim == 2:
        kernel = kernel[:, :, None, None]
    found = functional.conv2d(shown, kernel, None, row.stride, row.padding, 1, row.groups)
    if row.norm:
        gain, shift, mean, variance = (state[f"{row.norm}.{name}"] for name in NORM)
        found = functional.batch_norm(found, mean, variance, gain, shift, eps=EPSILON)
    if row.activation == "prelu":
        return functional.prelu(found, state[row.slope])
    return found if row.activation == "none" else getattr(torch, row.activation)(found)
