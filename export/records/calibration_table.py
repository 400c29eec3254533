"""The calibration table: all that int8 needs besides the float weights, as a small text file."""

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
    """What the values of one tensor were on the calibration faces.

    Values beyond `threshold` are clipped; `coverage` is the share of values that are not.
    """

    threshold: Annotated[float, msgspec.Meta(gt=0)]
    least: float
    most: float
    coverage: Annotated[float, msgspec.Meta(ge=0, le=1)]


class Int8Lesson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the float encoder taught its int8 self: without labels, on photos that judge nothing.

    `images` photos of `people` people of `data_set`; `cosine` is the mean of int8 to float on
    those of them that were kept apart, before and after. `command` does it again.
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
            f"int8 taught by its float encoder on {self.images} photos of {self.people} people from"
            f" {self.data_set}, none of whom the gate judges by: mean cosine {before:.5f} before,"
            f" {after:.5f} after, on those of them kept apart ({self.command})"
        )


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A calibration of one float encoder.

    `exponents` are by the tensor that enters a depthwise Conv: channel c is multiplied by
    2**exponents[c] before it is rounded. `ranges` are by tensor, `biases` by Conv or Gemm: what is
    added to each output channel. `steps`, by Conv or Gemm too, are how many codes training moved
    each weight by: see `packed`. `floats` names the nodes left in float, and why.
    """

    encoder_id: Sha256
    method: Method
    data_set: str
    images: int
    photos: list[str]
    """First 16 hex digits of each photo's sha256: the gate does not measure on them."""
    insisted: str = ""
    """What was wrong with the calibration photos where the user insisted on them."""
    exponents: dict[str, list[Annotated[int, msgspec.Meta(ge=-60, le=60)]]] = {}
    ranges: dict[str, Range]
    biases: dict[str, list[float]] = {}
    floats: dict[str, str] = {}
    lesson: Int8Lesson | None = None
    """Where `steps` come from."""
    steps: dict[str, str] = {}


def to_text(table: Table) -> bytes:
    """JSON with one tensor a line, so that a change can be read in a diff."""
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
        raise BundleError(f"{name} is no calibration table: {error}", "calibrate again") from error


def read(path: Path) -> Table:
    """A table from a file. Raises BundleError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(f"can not read {path}: {error.strerror}") from error
    return parse(raw, str(path))


def packed(steps: NDArray[np.floating | np.signedinteger]) -> str:
    """Steps as text: nearly all are 0 or 1, so that deflate leaves some bits of each."""
    raw = steps.clip(-128, 127).astype(np.int8).tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def unpacked(text: str, shape: tuple[int, ...], node: str) -> NDArray[np.int8]:
    """The steps of a node's weight. Raises BundleError where they are not of that shape."""
    size = int(np.prod(shape))
    try:
        # Bounded: a few kB of deflate can hold gigabytes.
        raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise BundleError(f"the table's steps of {node}: {error}", "train int8 again") from error
    if len(raw) != size:
        raise BundleError(f"the table's steps of {node} do not fit it", "train int8 again")
    return np.frombuffer(raw, np.int8).reshape(shape)
