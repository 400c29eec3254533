"""A recipe: where a bundle's weights come from, how they are checked, what they take."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edge.errors import ConfigError
from edge.runtime.bundle import ModelEntry, Sha256


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A registry package that ships weights; `sha256` is of its tarball."""

    registry: Literal["npm"]
    name: str
    version: str
    sha256: Sha256
    licence: str


class Weights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of weights inside a package, and what must be done to it."""

    package: str
    member: str
    sha256: Sha256
    format: Literal["onnx", "tflite"] = "onnx"
    converted_sha256: Sha256 | None = None
    """What a conversion must give, byte for byte: the encoder's id rests on it."""

    @property
    def file(self) -> str:
        return Path(self.member).name


class RecipeModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the four models."""

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
    """Everything that `ostiary-export build` needs to know."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,64}$")]
    dim: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    packages: dict[str, Package]
    models: RecipeModels


def shipped() -> list[str]:
    """The names of the recipes that come with Ostiary."""
    folder = resources.files("export") / "recipes"
    return sorted(Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".toml"))


def load(name: str) -> tuple[Recipe, bytes | None]:
    """A recipe by its shipped name or the path of a TOML file, and the DET curve beside it.

    Raises ConfigError, naming the field at fault.
    """
    path = Path(name)
    if name in shipped():
        folder = resources.files("export") / "recipes"
        raw, curve = (folder / f"{name}.toml").read_bytes(), folder / f"{name}.det.json"
        return _decode(raw, name), curve.read_bytes() if curve.is_file() else None
    if not path.is_file():
        raise ConfigError(
            f"no recipe {name!r}", f"one of {', '.join(shipped())}, or the path of a .toml file"
        )
    beside = path.with_suffix(".det.json")
    return _decode(path.read_bytes(), name), beside.read_bytes() if beside.is_file() else None


def _decode(raw: bytes, name: str) -> Recipe:
    try:
        recipe = msgspec.toml.decode(raw, type=Recipe)
    except msgspec.DecodeError as error:
        raise ConfigError(f"recipe {name}: {error}") from error
    for model, item in recipe.models.items().items():
        if item.weights.package not in recipe.packages:
            raise ConfigError(
                f"recipe {name}: models.{model}.weights.package is {item.weights.package!r}",
                f"one of {', '.join(recipe.packages)}",
            )
    return recipe
