"""Asks TensorRT's inspector which layers of an engine really compute in int8."""

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
"""The most characters kept of a layer's name: a fused layer's name lists all its parts."""


def layers_of(trt: Any, engine: Any) -> EngineLayers:
    """The layers of an engine, which must have been built with detailed verbosity."""
    inspector = engine.create_engine_inspector()
    return parse(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def parse(text: str) -> EngineLayers:
    """Parse the inspector's JSON. A layer computes in the type of its first input."""
    try:
        found = msgspec.json.decode(text, type=dict[str, Any]).get("Layers", [])
    except msgspec.DecodeError:
        found = []
    names: dict[str, str] = {}
    for layer in found:
        # At lower verbosity the inspector gives only the names of layers.
        if not isinstance(layer, dict):
            names[str(layer)[:LONGEST]] = UNKNOWN
        elif layer.get("LayerType") not in COPIES:
            names[str(layer.get("Name", len(names)))[:LONGEST]] = _type(layer)
    return EngineLayers(dict(Counter(names.values())), names)


def _type(layer: dict[str, Any]) -> str:
    inputs = layer.get("Inputs") or [{}]
    said = str(inputs[0].get("Format/Datatype", ""))
    return next((name for name, pattern in _TYPES if pattern.search(said)), UNKNOWN)
