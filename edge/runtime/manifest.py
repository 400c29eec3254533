"""The manifest of a bundle: its models, their inputs and outputs, and where they came from."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.runtime.det import Sha256

PAD = "pad"
MAX_FURTHER = 3
FurtherName = Annotated[str, msgspec.Meta(pattern="^pad_[a-z0-9_]{1,32}$")]
"""The name of a passive model beside `pad`."""


class ModelEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One model: its file, its input (pixels as (value - mean) / scale) and its outputs."""

    file: str
    input: str
    outputs: list[str]
    size_px: tuple[int, int]
    channels: Literal["rgb", "bgr", "gray"]
    mean: float
    scale: Annotated[float, msgspec.Meta(gt=0)]
    box_factor: float = 1.0
    """How far the face box is enlarged before it is cropped for this model; 1 is the box itself."""
    live: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Which class of a passive model is a live face."""

    @property
    def spec(self) -> InputSpec:
        return InputSpec(self.size_px, self.channels, self.mean, self.scale)


class Models(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The models of a bundle; `encoder_int8`, if there is one, embeds probes.

    Default values are not written, so that devices of an older version read a manifest without
    `further_pad`.
    """

    detector: ModelEntry
    landmarks: ModelEntry
    pad: ModelEntry
    encoder: ModelEntry
    encoder_int8: ModelEntry | None = None
    further_pad: Annotated[dict[FurtherName, ModelEntry], msgspec.Meta(max_length=MAX_FURTHER)] = {}
    """Passive models beside `pad`, by name."""

    @property
    def passive(self) -> dict[str, ModelEntry]:
        """The models that tell a live face from a picture of one by a single frame, `pad` first."""
        return {PAD: self.pad, **self.further_pad}

    def items(self) -> dict[str, ModelEntry]:
        """Every model by its name, the further passive ones last."""
        found = {
            name: getattr(self, name) for name in self.__struct_fields__ if name != "further_pad"
        }
        return {
            name: model for name, model in found.items() if model is not None
        } | self.further_pad


class WeightsSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where weights came from, and the licence found there."""

    package: str
    version: str
    sha256: Sha256
    licence: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bundle's description. `encoder_id` is the SHA-256 of the float encoder's ONNX file;
    `files` holds the SHA-256 of each file."""

    schema: int
    recipe: str
    encoder_id: Sha256
    dim: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    models: Models
    files: dict[str, Sha256]
    sources: list[WeightsSource]
    notes: list[str] = []
    """Peculiarities of the build that a reader must know, such as a projection or a forced
    calibration."""
    proven_on: list[str] = []
    """The backends whose int8 embeddings agree, or the only backend that passed."""
    warnings: list[str] = []
    """What is wrong with the encoder although the bundle is signed; the door says each of these
    sentences at every start."""

    def model_hashes(self) -> dict[str, Sha256]:
        """The SHA-256 of each model's file, by the model's name."""
        return {name: self.files[model.file] for name, model in self.models.items().items()}
