"""The calibration table: what int8 needs besides the float weights, as a small text file."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.det import Sha256

FILE = "calibration.json"
"""A table's name in a bundle."""
Found = TypeVar("Found", bound=msgspec.Struct)
Method = Literal["mse", "minmax", "entropy", "percentile"]


class Range(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The values of one tensor on the calibration faces: from `least` to `most`.

    Values beyond `threshold` are clipped; `coverage` is the share of values within it.
    """

    threshold: Annotated[float, msgspec.Meta(gt=0)]
    least: float
    most: float
    coverage: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Int8Lesson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the int8 encoder was trained to give the float encoder's embeddings, without labels.

    The training used `images` photos of `people` people of `data_set`, who are left out of the
    gate. `cosine` is the mean cosine of int8 to float before and after, on the people of these who
    were held out. `command` repeats the training.
    """

    data_set: str
    people: int
    images: int
    epochs: int
    rate: float
    seed: int
    cosine: tuple[float, float]
    command: str

    def __str__(self) -> str:
        before, after = self.cosine
        return (
            f"int8 trained by its float encoder on {self.images} photos of {self.people} people"
            f" from {self.data_set}, who are left out of the gate: mean cosine {before:.5f} before,"
            f" {after:.5f} after, on those of them who were held out ({self.command})"
        )


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A calibration of one float encoder.

    `exponents`, by tensor that enters a depthwise Conv: channel c is multiplied by 2**exponents[c]
    before it is rounded. `ranges` are the values that each tensor takes. `biases`, by Conv or Gemm,
    are added to each output channel; `steps` are the int8 steps by which training moved each weight
    (see `packed`). `floats` gives the reason for each node left in float. The weights of the nodes
    in `narrow` are rounded to 7 bits instead of 8.
    """

    encoder_id: Sha256
    method: Method
    data_set: str
    images: int
    photos: list[str]
    """First 16 hex digits of each calibration photo's sha256; the gate leaves these photos out."""
    insisted: str = ""
    """The failed checks of the calibration photos, if the user calibrated on them all the same."""
    exponents: dict[str, list[Annotated[int, msgspec.Meta(ge=-60, le=60)]]] = {}
    ranges: dict[str, Range]
    biases: dict[str, list[float]] = {}
    floats: dict[str, str] = {}
    narrow: list[str] = []
    lesson: Int8Lesson | None = None
    """The training that `steps` were made by."""
    steps: dict[str, str] = {}


def to_text(table: Table) -> bytes:
    """JSON with one tensor per line, so that a diff shows each change."""
    fields = msgspec.to_builtins(table)
    lines = []
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            inner = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
            lines.append(f"{json.dumps(name)}: {{\n{inner}\n }}")
        else:
            lines.append(f"{json.dumps(name)}: {json.dumps(value)}")
    return ("{\n " + ",\n ".join(lines) + "\n}\n").encode()


def parse(raw: bytes, name: str) -> Table:
    """A table from its text. Raises BundleError, naming the field at fault."""
    try:
        return msgspec.json.decode(raw, type=Table)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{name} is not a calibration table: {error}", "calibrate again"
        ) from error


def read(path: Path) -> Table:
    """A table from a file. Raises BundleError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    return parse(raw, str(path))


def packed(steps: NDArray[np.floating | np.signedinteger]) -> str:
    """Steps as text, clipped to int8. Nearly all are 0 or 1: deflated, each takes a few bits."""
    raw = steps.clip(-128, 127).astype(np.int8).tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def unpacked(text: str, shape: tuple[int, ...], node: str) -> NDArray[np.int8]:
    """The steps of a node's weight. Raises BundleError if they do not fit this shape."""
    size = int(np.prod(shape))
    try:
        # The output is limited: a few kB of deflate can expand to gigabytes.
        raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise BundleError(f"the table's steps of {node}: {error}", "train int8 again") from error
    if len(raw) != size:
        raise BundleError(f"the table's steps of {node} do not fit it", "train int8 again")
    return np.frombuffer(raw, np.int8).reshape(shape)
