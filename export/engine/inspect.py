"""What TensorRT's inspector says of an engine: which layers really compute in int8."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec

from ostiary.edge.runtime.engines import EngineLayers

COPIES = ("Reformat", "Constant", "NoOp", "Shape")
"""Layers that compute nothing."""
_TYPES = (
    ("int8", re.compile(r"int8", re.I)),
    ("fp8", re.compile(r"fp8", re.I)),
    ("bf16", re.compile(r"bf16|bfloat16", re.I)),
    ("fp16", re.compile(r"fp16|half|float16", re.I)),
    ("fp32", re.compile(r"fp32|float", re.I)),
)
UNKNOWN = "unknown"
LONGEST = 160
"""Characters kept of a layer's name: a fused one lists all it was made of."""


def layers_of(trt: Any, engine: Any) -> EngineLayers:
    """Ask an engine that was built with detailed verbosity."""
    inspector = engine.create_engine_inspector()
    return parse(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def parse(text: str) -> EngineLayers:
    """The inspector's JSON: each layer with the type of its first input, which it computes in."""
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("Layers", [])
    except msgspec.DecodeError:
        found = []
    names: dict[str, str] = {}
    for layer in found:
        # With less than detailed verbosity a layer is its name only.
        if not isinstance(layer, dict):
            names[str(layer)[:LONGEST]] = UNKNOWN
        elif layer.get("LayerType") not in COPIES:
            names[str(layer.get("Name", len(names)))[:LONGEST]] = _type(layer)
    return EngineLayers(dict(Counter(names.values())), names)


def _type(layer: dict[str, Any]) -> str:
    inputs = layer.get("Inputs") or [{}]
    said = str(inputs[0].get("Format/Datatype", ""))
    return next((name for name, pattern in _TYPES if pattern.search(said)), UNKNOWN)
