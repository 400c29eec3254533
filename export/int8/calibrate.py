"""Makes a calibration table from photos of faces, and refuses unsuitable photos."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import onnx

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import sha256
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import normal_form, run
from ostiary.export.graphs.run import Images
from ostiary.export.int8 import bias_correction, equalise, quantize, ranges
from ostiary.export.records.calibration_table import Method, Table

IMAGES, LEAST_IMAGES = 256, 32
LEAST_FACES = 0.5
"""The smallest allowed share of photos that show a face: below it the folder holds other things."""
MOST_ALIKE = 0.6
"""The largest allowed median score between different people: above it the photos show one person,
or no faces."""
Say = Callable[[str], None]


def choose(crops: Crops, count: int = IMAGES, seed: int = 0) -> Crops:
    """Choose photos to calibrate on: one per person, people with the fewest photos first.

    The gate leaves these photos out; the only photo of a person has no genuine pair to lose.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(crops))
    _, first = np.unique(crops.person[shuffled], return_index=True)
    one_each = shuffled[first]
    photos = np.bincount(crops.person)[crops.person[one_each]]
    order = one_each[np.lexsort((rng.permutation(len(one_each)), photos))]
    return crops.only(np.sort(order[:count]))


def by_id(crops: Crops, photos: list[str]) -> Crops:
    """The crops of the photos with these ids."""
    wanted = set(photos)
    return crops.only(np.array([photo in wanted for photo in crops.photos], bool))


def objections(crops: Crops, chosen: Crops, embeddings: Floats) -> list[str]:
    """Why `chosen`, a part of `crops`, is unsuitable; `embeddings` are of `chosen`, in float."""
    found = []
    total = len(crops) + sum(crops.missing.values())
    if len(chosen) < LEAST_IMAGES:
        found.append(f"{len(chosen)} photos of as many people, at least {LEAST_IMAGES} are needed")
    if len(crops) < LEAST_FACES * total:
        found.append(f"only {len(crops)} of {total} photos show a face")
    if len(set(chosen.photos)) < len(chosen):
        found.append(f"{len(chosen) - len(set(chosen.photos))} photos are duplicates")
    scores = (embeddings @ embeddings.T)[np.triu_indices(len(embeddings), 1)]
    if len(scores) and float(np.median(scores)) > MOST_ALIKE:
        found.append(
            f"different people look alike (median score {np.median(scores):.2f}):"
            " the photos are made up or show one person"
        )
    return found


def calibrate(
    model: onnx.ModelProto,
    spec: InputSpec,
    crops: Crops,
    data_set: str,
    method: Method,
    insist: bool,
    say: Say,
) -> Table:
    """Calibrate a float encoder. Raises PhotoError for unsuitable photos, unless `insist`."""
    data = normal_form.to_bytes(model)
    chosen = choose(crops)
    embeddings = run.embed(data, chosen.images, spec, "onnxruntime")
    problems = objections(crops, chosen, embeddings)
    if problems and not insist:
        raise PhotoError(
            f"{data_set} is not suitable for calibration: {'; '.join(problems)}",
            f"give photos of at least {LEAST_IMAGES} people; to use these, with a note of it",
            option="insist",
        )
    table = Table(
        encoder_id=sha256(data),
        method=method,
        data_set=data_set,
        images=len(chosen),
        photos=sorted(chosen.photos),
        insisted="; ".join(problems),
        ranges={},
    )
    return measure(model, spec, chosen.images, table, say)


def measure(
    model: onnx.ModelProto, spec: InputSpec, images: Images, table: Table, say: Say
) -> Table:
    """The table with exponents, ranges and biases measured on crops (n, h, w, 3)."""
    replace = msgspec.structs.replace
    say("measuring the channels before depthwise layers")
    spans = ranges.channel_spans(model, list(equalise.targets(model)), images, spec)
    exponents = {name: equalise.exponents(span) for name, span in spans.items()}
    equal = equalise.apply(model, exponents)
    say(f"measuring the input range of every layer on {len(images)} faces, by {table.method}")
    found = ranges.histograms(equal, images, spec)
    chosen = {name: item.range(table.method) for name, item in found.items()}
    narrow = quantize.summing(model)
    table = replace(table, exponents=exponents, ranges=chosen, narrow=narrow)

    def layer(at: int, total: int) -> None:
        say(f"bias correction, layer {at} of {total}")

    return replace(table, biases=bias_correction.corrections(equal, table, images, spec, layer))
