"""The integrator's description of a trained encoder: where it is and which image it takes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from ostiary.edge.errors import ConfigError
from ostiary.export.records.results import USUAL, GateLimits

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
    """Path of the state dict for the module that `package.module:factory` builds."""
    pair: bool = False
    """True for a Siamese pair, which takes two images; one of its branches is the encoder."""
    front_end: str = "mobilefacenet-192"
    """The recipe that gives detector, landmarks and PAD: a shipped one, all of which have the same,
    or the path of a recipe's TOML file, relative to this one."""
    licence: str = "not stated"
    """Licence of the weights, for the manifest."""
    learned: str | None = None
    """Path of the list of photos that the encoder learned from, relative to the TOML file: see
    `ostiary.export.faces.learned`."""
    limits: GateLimits = USUAL
    """What the gate asks of the encoder and of its int8 form."""
    warnings: list[str] = []
    """Faults that a door must say at every start, such as a training that is not proven."""
    trust_pickle: bool = False
    """True to load files that may run code; only for files that the user made."""

    def __post_init__(self) -> None:
        # TOML has nan and inf, and an infinite scale would count as above 0.
        if not (math.isfinite(self.mean) and math.isfinite(self.scale)):
            raise ValueError("mean and scale must be finite numbers")
        if self.state is not None and not self.factory:
            raise ValueError("state belongs to a source of the form package.module:factory")

    @property
    def factory(self) -> tuple[str, str] | None:
        """Module and attribute of package.module:factory; None if the source is a file."""
        module, colon, name = self.source.partition(":")
        dotted = all(part.isidentifier() for part in module.split("."))
        return (module, name) if colon and dotted and name.isidentifier() else None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width of one image."""
        return (1 if self.channels == "gray" else 3, *self.size_px)


def read_spec(path: Path) -> EncoderSource:
    """Read a TOML file. Raises ConfigError that names the field at fault."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=EncoderSource)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
