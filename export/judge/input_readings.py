"""Runs an encoder under each plausible reading of its input: channel order and value range.

A wrong order or range is a silent error: nothing crashes, but people are recognised less often.
The right reading is the one that tells people apart best.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats, Image
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import run
from ostiary.export.records.results import Reading

IMAGES = 600
RANGES = ((127.5, 128.0), (0.0, 255.0), (0.0, 1.0))
"""Plausible (mean, scale) of (value - mean) / scale: to about -1..1, to 0..1, and unchanged."""
CLEARLY = 0.15
"""The least difference of d' for one reading to count as better; rounding and chance stay below."""


def plausible(spec: InputSpec) -> list[InputSpec]:
    """The plausible readings of the input, the declared one first."""
    orders = ["gray"] if spec.channels == "gray" else ["rgb", "bgr"]
    others = [
        dataclasses.replace(spec, channels=order, mean=mean, scale=scale)
        for order in orders
        for mean, scale in ((spec.mean, spec.scale), *RANGES)
        if not (order == spec.channels and _alike((mean, scale), (spec.mean, spec.scale)))
    ]
    kept: list[InputSpec] = []
    for item in others:
        same = (k for k in kept if k.channels == item.channels)
        if not any(_alike((k.mean, k.scale), (item.mean, item.scale)) for k in same):
            kept.append(item)
    return [spec, *kept]


def _alike(a: tuple[float, float], b: tuple[float, float]) -> bool:
    """Whether two ranges are too similar to matter to an encoder, as means of 127 and 127.5."""
    ends = [((p - mean) / scale) for mean, scale in (a, b) for p in (0, 255)]
    return abs(ends[0] - ends[2]) < 0.02 and abs(ends[1] - ends[3]) < 0.02


def told(spec: InputSpec) -> str:
    """A reading in words: `rgb, (value - 127.5) / 128`."""
    return f"{spec.channels}, (value - {spec.mean:g}) / {spec.scale:g}"


def of_people(model: bytes, crops: Crops, spec: InputSpec) -> list[Reading]:
    """How well each reading tells people apart, the declared one first.

    d' = (mean genuine - mean impostor score) / their joint standard deviation.
    """
    several = np.flatnonzero(np.bincount(crops.person)[crops.person] > 1)[:IMAGES]
    chosen = crops.only(several)
    rows, columns = np.triu_indices(len(chosen), 1)
    same = chosen.person[rows] == chosen.person[columns]
    found = []
    for reading in plausible(spec):
        embeddings = run.embed(model, chosen.images, reading)
        scores = (embeddings @ embeddings.T)[rows, columns]
        found.append(Reading(told(reading), _d_prime(scores[same], scores[~same])))
    return found


def of_a_face(model: bytes, aligned: Image, spec: InputSpec) -> list[tuple[str, float, float]]:
    """Score one face against altered copies under each reading: (reading, alike, flipped).

    `alike` is the mean score with a darker, a blurred and a mirrored copy: higher is better.
    `flipped` is the score with the face upside down, which is no face: lower is better.
    """
    import cv2

    copies = [
        aligned,
        np.asarray(aligned[:, ::-1]),
        (aligned * 0.5).astype(np.uint8),
        np.asarray(cv2.GaussianBlur(aligned, (0, 0), aligned.shape[0] / 75), np.uint8),
        np.asarray(aligned[::-1]),
    ]
    found = []
    for reading in plausible(spec):
        rows = run.embed(model, np.stack(copies), reading, "onnxruntime")
        scores = rows[1:] @ rows[0]
        found.append((told(reading), float(scores[:3].mean()), float(scores[3])))
    return found


def better(readings: list[Reading]) -> str:
    """Which reading is clearly better than the declared one, as a sentence; empty if none is."""
    declared, best = readings[0], max(readings, key=lambda item: item.d_prime)
    if best.d_prime < declared.d_prime + CLEARLY:
        return ""
    return (
        f"the encoder is declared to take {declared.reading}, but it tells people apart better"
        f" reading {best.reading}: d' {best.d_prime:.2f} against {declared.d_prime:.2f}"
    )


def _d_prime(genuine: Floats, impostor: Floats) -> float:
    spread = np.sqrt((genuine.var() + impostor.var()) / 2)
    return float((genuine.mean() - impostor.mean()) / max(float(spread), 1e-12))
