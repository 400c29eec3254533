"""A recipe's models: where each one's weights are, and what the manifest says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ostiary.edge.runtime.det import Sha256
from ostiary.edge.runtime.manifest import MAX_FURTHER, PAD, ModelEntry
from ostiary.export.networks.minifasnet import NETWORKS

FOUR = ("detector", "landmarks", PAD, "encoder")
"""The models that every recipe has."""
ModelName = Annotated[
    str, msgspec.Meta(pattern="^(detector|landmarks|encoder|pad(_[a-z0-9_]{1,32})?)$")
]


class Weights(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One file of weights: a `member` of a package, or a `file` beside the recipe.

    A package states its licence itself, a file's is stated here.
    """

    sha256: Sha256
    package: str | None = None
    member: str | None = None
    file: str | None = None
    """Path of a file on this machine, relative to the recipe's."""
    licence: str | None = None
    graph: str | None = None
    """The network of a file of PyTorch's tensors, one of `NETWORKS`."""
    format: Literal["onnx", "tflite"] = "onnx"

    def __post_init__(self) -> None:
        if self.file is None:
            if self.package is None or self.member is None or self.licence or self.graph:
                raise ValueError("give package and member; or file, licence and perhaps graph")
            return
        if self.package or self.member:
            raise ValueError(f"{self.file!r} is a file, so that package and member are left out")
        if "://" in self.file:
            raise ValueError(
                f"{self.file!r} is an address, which is not fetched: fetch the file yourself, and"
                " give its path"
            )
        if not (self.licence and self.licence.strip()):
            raise ValueError(f"state the licence of {self.file!r}, as you found it")
        if self.graph is not None and self.graph not in NETWORKS:
            raise ValueError(f"no graph {self.graph!r}: use one of {', '.join(NETWORKS)}")

    @property
    def name(self) -> str:
        """The name of the file."""
        return Path(self.file or self.member or "").name


class RecipeModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of a bundle's models: its weights, and its description for the manifest."""

    weights: Weights
    entry: ModelEntry


def fault(models: dict[str, RecipeModel], packages: list[str]) -> tuple[str, str] | None:
    """What is wrong with a recipe's models, and what to do about it; None if nothing is."""
    lacking = [name for name in FOUR if name not in models]
    if lacking:
        return f"it has no models.{lacking[0]}", f"every recipe has {', '.join(FOUR)}"
    further = [name for name in models if name not in FOUR]
    if len(further) > MAX_FURTHER:
        return f"{len(further)} further passive models", f"name {MAX_FURTHER} at most"
    files: dict[str, str] = {}
    for name, item in models.items():
        package, where = item.weights.package, f"models.{name}"
        if package is not None and package not in packages:
            return (
                f"{where}.weights.package is {package!r}, which is not among its packages",
                f"use one of {', '.join(packages)}",
            )
        if item.weights.graph is not None and not name.startswith(PAD):
            return f"{where}.weights has a graph", "only passive models have one"
        file = item.entry.file
        if Path(file).name != file or not file.endswith(".onnx"):
            return f"{where}.entry.file is {file!r}", "give a name that ends in .onnx"
        if file in files:
            return f"{where}.entry.file is that of {files[file]}", "give each model its own"
        files[file] = name
    return None
