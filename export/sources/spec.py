"""What an integrator says about their trained encoder: where it is and which image it takes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ostiary.edge.errors import ConfigError

Side = Annotated[int, msgspec.Meta(ge=1, le=4096)]


class EncoderSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trained encoder; it takes pixels as (value - mean) / scale."""

    source: str
    """A path relative to the TOML file, or `package.module:factory`."""
    size_px: tuple[Side, Side]
    channels: Literal["rgb", "bgr", "gray"]
    mean: float
    scale: Annotated[float, msgspec.Meta(gt=0)]
    state: str | None = None
    """The state dict that belongs into what `package.module:factory` builds."""
    pair: bool = False
    """A Siamese pair: two images in, one branch of it is the encoder."""
    front_end: str = "mobilefacenet-192"
    """The recipe that detector, landmarks and PAD are taken from."""
    licence: str = "not stated"
    """Of the weights; it goes into the manifest."""
    learned: str | None = None
    """A list of the photos that it learned from, relative to the TOML file: see
    `ostiary.export.faces.learned`."""
    trust_pickle: bool = False
    """Loads files that run code of their own: only for files the user made."""

    def __post_init__(self) -> None:
        # TOML has nan and inf, and an infinite scale passes for one above 0.
        if not (math.isfinite(self.mean) and math.isfinite(self.scale)):
            raise ValueError("mean and scale must be finite numbers")
        if self.state is not None and not self.factory:
            raise ValueError("state belongs to a source of the form package.module:factory")

    @property
    def factory(self) -> tuple[str, str] | None:
        """Module and attribute, where the source is no file."""
        module, colon, name = self.source.partition(":")
        dotted = all(part.isidentifier() for part in module.split("."))
        return (module, name) if colon and dotted and name.isidentifier() else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of one image."""
        return (1 if self.channels == "gray" else 3, *self.size_px)


def read_spec(path: Path) -> EncoderSource:
    """The struct of a TOML file. Raises ConfigError, naming the field at fault."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=EncoderSource)
    except OSError as error:
        raise ConfigError(f"{path} can not be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
