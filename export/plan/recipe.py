"""A recipe: a bundle's weights, their input, and the measurements recorded for them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.errors import ConfigError
from ostiary.edge.runtime.det import DetFile, Sha256
from ostiary.edge.runtime.manifest import FurtherName
from ostiary.export.faces import learned
from ostiary.export.plan.registries import Package
from ostiary.export.plan.weights import ModelName, RecipeModel, Weights, fault
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
RecipeName = Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,64}$")]
Parsed = TypeVar("Parsed")


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that `ostiary-export build` needs to make a bundle from packages."""

    name: RecipeName
    encoder_sha256: Sha256
    """The hash of the converted float encoder: with another one, stored templates would not fit."""
    packages: dict[str, Package]
    models: dict[ModelName, RecipeModel]
    """The four that every recipe has, and further passive models."""
    limits: GateLimits = USUAL


class Extension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recipe that is a shipped one, `base`, with further passive models."""

    name: RecipeName
    base: str
    models: dict[FurtherName, RecipeModel]
    packages: dict[str, Package] = {}


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
    """Where the files of the user's own encoder are."""
    beside: Path = Path()
    """Where the recipe's own files of weights are."""
    learned: list[str] = field(default_factory=list)

    @property
    def spec(self) -> InputSpec:
        """The encoder's input."""
        if self.own is not None:
            return InputSpec(self.own.size_px, self.own.channels, self.own.mean, self.own.scale)
        return self.recipe.models["encoder"].entry.spec

    @property
    def limits(self) -> GateLimits:
        """The limits of the user's own encoder, or else the recipe's."""
        return self.recipe.limits if self.own is None else self.own.limits

    @property
    def warnings(self) -> list[str]:
        """What is known to be wrong with the user's own encoder; empty for a recipe."""
        return [] if self.own is None else self.own.warnings

    @property
    def weights(self) -> list[Weights]:
        """The weights of the recipe's models, without the encoder's if the user has an own one."""
        models = self.recipe.models.items()
        return [m.weights for n, m in models if self.own is None or n != "encoder"]

    @property
    def packages(self) -> dict[str, Package]:
        """The packages that the plan's models come from."""
        used = {weights.package for weights in self.weights}
        return {name: p for name, p in self.recipe.packages.items() if name in used}


def shipped() -> list[str]:
    """The names of the recipes that come with Ostiary."""
    folder = resources.files("ostiary.export") / "recipes"
    return sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml"))


def load(name: str, recorded: Path | None = None) -> BuildPlan:
    """A plan from the name of a shipped recipe or the path of a TOML file.

    A TOML file with a `source` describes the user's own encoder, one with a `base` adds passive
    models to a shipped recipe. Measurements in the folder
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
    whole = _document(path)
    if "base" in whole:
        return _extended(path, name)
    if "source" not in whole:
        recipe = _decode(path.read_bytes(), name)
        recorded = _read(path.parent, path.stem)
        return BuildPlan(recipe.name, recipe, recorded, beside=path.parent)
    own = read_spec(path)
    if not NAME.fullmatch(path.stem):
        raise ConfigError(
            f"{path}: {path.stem!r} cannot be a bundle's name",
            "rename the file: a-z, 0-9 and -, up to 64 characters",
        )
    front = _front_end(own, path)
    return BuildPlan(
        path.stem,
        front.recipe,
        _read(path.parent, path.stem),
        own,
        path.parent,
        front.beside,
        learned.read(path.parent / own.learned) if own.learned is not None else [],
    )


def _document(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.toml.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path}: {error}") from error
    return found


def _front_end(own: EncoderSource, path: Path) -> BuildPlan:
    """The recipe that gives an own encoder's other models: a shipped one, or one beside it."""
    if own.front_end in shipped():
        return load(own.front_end)
    file = path.parent / own.front_end
    if file.suffix == ".toml" and file.is_file() and "source" not in _document(file):
        return load(str(file))
    raise ConfigError(
        f"{path}: there is no recipe {own.front_end!r} - at `$.front_end`",
        f"use one of {', '.join(shipped())}, or the path of a recipe's .toml file",
    )


def _extended(path: Path, name: str) -> BuildPlan:
    """A shipped recipe with the further models of a file; its measurements are of the encoder, and
    stay true."""
    try:
        more = msgspec.toml.decode(path.read_bytes(), type=Extension)
    except msgspec.DecodeError as error:
        raise ConfigError(f"recipe {name}: {error}") from error
    if more.base not in shipped():
        raise ConfigError(
            f"recipe {name}: there is no recipe {more.base!r} - at `$.base`",
            f"use one of {', '.join(shipped())}",
        )
    base = load(more.base)
    recipe = msgspec.structs.replace(
        base.recipe,
        name=more.name,
        packages=base.recipe.packages | more.packages,
        models=base.recipe.models | more.models,
    )
    return BuildPlan(more.name, _checked(recipe, name), base.recorded, beside=path.parent)


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
    return _checked(recipe, name)


def _checked(recipe: Recipe, name: str) -> Recipe:
    wrong = fault(recipe.models, list(recipe.packages))
    if wrong is not None:
        raise ConfigError(f"recipe {name}: {wrong[0]}", wrong[1])
    return recipe
