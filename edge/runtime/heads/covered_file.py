"""`covered.json`: the head that tells covered faces from bare ones, and how well it does."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from ostiary.edge.core.faces.covered import SIDE, STRIDE, Convolution, CoveredHead, Dense
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BundleError
from ostiary.edge.files import to_json
from ostiary.edge.runtime.heads import stored

COVERED = "covered.json"
SCHEMA = 1
AGAIN = "ostiary-export fit-covered makes one"
CHANNELS = 3
Share = Annotated[float, Meta(ge=0, le=1)]
Size = Annotated[int, Meta(ge=1, le=65536)]


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A layer's `shape`, (out, in, k, k) or (out, in); its `weights` as little-endian float16 in
    base64; its `bias` (out,)."""

    shape: list[Size]
    weights: bytes
    bias: list[float]


class CoverShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of `faces` faces of one kind, drawn or bare: the share that looks covered."""

    kind: str
    faces: int
    covered: Share


class CoveredFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The head: see `ostiary.edge.core.faces.covered`. It belongs to no model of a bundle.

    It was fitted on people of `data_set` with drawn covers. A face is covered at 0 or more.
    `judged` are the shares on the `judged_people` that it was not fitted on.
    """

    schema: int
    layers: list[Layer]
    data_set: str
    people: int
    photos: int
    judged_people: int
    judged: list[CoverShare]

    def head(self) -> CoveredHead:
        """The head. Call `check` first."""
        convolutions, dense = [], []
        for layer in self.layers:
            weights, bias = _weights(layer), np.array(layer.bias, np.float32)
            if len(layer.shape) == 4:
                convolutions.append(Convolution(weights, bias))
            else:
                dense.append(Dense(weights, bias))
        return CoveredHead(convolutions, dense)

    def check(self) -> None:
        """Raise BundleError if the file cannot be used."""
        if self.schema != SCHEMA:
            raise BundleError(f"{COVERED} has schema {self.schema}, this version reads {SCHEMA}")
        side, taken, flat = SIDE, CHANNELS, False
        for number, layer in enumerate(self.layers, 1):
            shape, where = layer.shape, f"layer {number} of {COVERED}"
            if len(layer.weights) != 2 * int(np.prod(shape)) or len(layer.bias) != shape[0]:
                raise BundleError(f"{where} does not hold the weights of its shape {shape}", AGAIN)
            if not (np.isfinite(_weights(layer)).all() and np.isfinite(layer.bias).all()):
                raise BundleError(f"{where} has a value that is not a number", AGAIN)
            if len(shape) == 2 and not flat:
                taken, flat = taken * side * side, True
            fits = shape[1] == taken and len(shape) == (2 if flat else 4)
            if not fits or (not flat and (shape[2] != shape[3] or shape[2] % 2 == 0)):
                raise BundleError(f"{where} has the shape {shape}, which cannot follow", AGAIN)
            taken, side = shape[0], -(-side // STRIDE)
        if not flat or taken != 1:
            raise BundleError(f"{COVERED} does not end in one value", AGAIN)


def layer(weights: Floats, bias: Floats) -> Layer:
    """A layer as it is stored: its weights rounded to float16."""
    raw = weights.astype("<f2").tobytes()
    return Layer(list(weights.shape), raw, [float(f"{value:.6g}") for value in bias])


def parse(raw: bytes, where: str) -> CoveredFile:
    """A head from its JSON. Raises BundleError, naming the file and the field at fault."""
    return stored.decoded(raw, CoveredFile, where, AGAIN)


def to_text(file: CoveredFile) -> bytes:
    """The file as JSON; equal files give equal bytes."""
    return to_json(file)


def _weights(layer: Layer) -> Floats:
    values = np.frombuffer(layer.weights, "<f2").astype(np.float32)
    return np.asarray(values.reshape(layer.shape))
