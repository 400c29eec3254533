"""A recipe: a bundle's weights, their input, and the measurements recorded for them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.errors import ConfigError
from ostiary.edge.runtime.bundle import ModelEntry
from ostiary.edge.runtime.det import DetFile, Sha256
from ostiary.export.faces import learned
from ostiary.export.plan.registries import Package
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import (
    USUAL,
    EncoderMeasurements,
    Gate,
    GateLimits,
    LayerCosts,
)
from ostiary.export.sources.spec import EncoderSource, read_spec

DEFAULT = "sface-128"
"""The recipe that is built if none is named."""
NAME = re.compile("[a-z0-9-]{1,64}")
Parsed = TypeVar("Parsed")


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of weights inside a package, and its format."""

    package: str
    member: str
    sha256: Sha256
    format: Literal["onnx", "tflite"] = "onnx"

    @property
    def file(self) -> str:
        return Path(self.member).name


class RecipeModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the four models: its weights, and its description for the manifest."""

    weights: Weights
    entry: ModelEntry


class RecipeModels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    detector: RecipeModel
    landmarks: RecipeModel
    pad: RecipeModel
    encoder: RecipeModel

    def items(self) -> dict[str, RecipeModel]:
        return {name: getattr(self, name) for name in self.__struct_fields__}


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that `ostiary-export build` needs to make a bundle from packages."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,64}$")]
    encoder_sha256: Sha256
    """The hash of the converted float encoder: with another one, stored templates would not fit."""
    packages: dict[str, Package]
    models: RecipeModels
    limits: GateLimits = USUAL


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """The input of a build: a recipe, or the user's `own` encoder with a recipe's other models.

    `learned` are the ids of the photos that the user's own encoder learned from, if known.
    """

    name: str
    recipe: Recipe
    recorded: EncoderMeasurements = field(default_factory=EncoderMeasurements)
    own: EncoderSource | None = None
    folder: Path = Path()
    learned: list[str] = field(default_factory=list)

    @property
    def spec(self) -> InputSpec:
        """The encoder's input."""
        if self.own is not None:
            return InputSpec(self.own.size_px, self.own.channels, self.own.mean, self.own.scale)
        return self.recipe.models.encoder.entry.spec

    @property
    def limits(self) -> GateLimits:
        """The limits of the user's own encoder, or else the recipe's."""
        return self.recipe.limits if self.own is None else self.own.limits

    @property
    def warnings(self) -> list[str]:
        """What is known to be wrong with the user's own encoder; empty for a recipe."""
        return [] if self.own is None else self.own.warnings

    @property
    def packages(self) -> dict[str, Package]:
        """The packages that the plan's models come from."""
        models = self.recipe.models.items()
        used = {m.weights.package for n, m in models.items() if self.own is None or n != "encoder"}
        return {name: p for name, p in self.recipe.packages.items() if name in used}


def shipped() -> list[str]:
    """The names of the recipes that come with Ostiary."""
    folder = resources.files("ostiary.export") / "recipes"
    return sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml"))


def load(name: str, recorded: Path | None = None) -> BuildPlan:
    """A plan from the name of a shipped recipe or the path of a TOML file.

    A TOML file with a `source` describes the user's own encoder. Measurements in the folder
    `recorded` replace those beside the recipe. Raises ConfigError, naming the field at fault.
    """
    plan = _plan(name)
    if recorded is None:
        return plan
    found = _read(recorded, plan.name)
    if found.table is None:
        raise ConfigError(
            f"{recorded} has no {plan.name}.table.json",
            "give a folder that ostiary-train int8 wrote for this recipe",
        )
    return replace(plan, recorded=found)


def _plan(name: str) -> BuildPlan:
    if name in shipped():
        with resources.as_file(resources.files("ostiary.export") / "recipes") as folder:
            return BuildPlan(
                name, _decode((folder / f"{name}.toml").read_bytes(), name), _read(folder, name)
            )
    path = Path(name)
    if not path.is_file():
        raise ConfigError(
            f"there is no recipe {name!r}",
            f"use one of {', '.join(shipped())}, or the path of a .toml file",
        )
    try:
        whole = msgspec.toml.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {name}: {error}") from error
    if "source" not in whole:
        recipe = _decode(path.read_bytes(), name)
        return BuildPlan(recipe.name, recipe, _read(path.parent, path.stem))
    own = read_spec(path)
    if own.front_end not in shipped():
        raise ConfigError(
            f"{path}: there is no recipe {own.front_end!r} - at `$.front_end`",
            f"use one of {', '.join(shipped())}",
        )
    if not NAME.fullmatch(path.stem):
        raise ConfigError(
            f"{path}: {path.stem!r} cannot be a bundle's name",
            "rename the file: a-z, 0-9 and -, up to 64 characters",
        )
    return BuildPlan(
        path.stem,
        load(own.front_end).recipe,
        _read(path.parent, path.stem),
        own,
        path.parent,
        learned.read(path.parent / own.learned) if own.learned is not None else [],
    )


def _read(folder: Path, name: str) -> EncoderMeasurements:
    """The measurements in a folder: NAME.table.json, .gate.json, .det.json and .layers.json."""

    def found(kind: type[Parsed], suffix: str) -> Parsed | None:
        path = folder / f"{name}.{suffix}.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind) if path.is_file() else None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}", "delete it and measure again") from error

    return EncoderMeasurements(
        found(Table, "table"),
        found(Gate, "gate"),
        found(DetFile, "det"),
        found(LayerCosts, "layers"),
    )


def _decode(raw: bytes, name: str) -> Recipe:
    try:
        recipe = msgspec.toml.decode(raw, type=Recipe)
    except msgspec.DecodeError as error:
        raise ConfigError(f"recipe {name}: {error}") from error
    for model, item in recipe.models.items().items():
        if item.weights.package not in recipe.packages:
            raise ConfigError(
                f"recipe {name}: models.{model}.weights.package is {item.weights.package!r},"
                " which is not among its packages",
                f"use one of {', '.join(recipe.packages)}",
            )
    return recipe
