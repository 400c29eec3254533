"""How long each stage of a frame takes with a bundle, on one backend."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.effects.reporter import memory_mb
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline

STAGES = ("detect", "landmarks", "align", "embed", "search", "frame", "frame + pad")
TURN, WARM_UP = 50, 10
"""Timed frames in one turn of a backend, and untimed ones before them. During a turn the caches
fill with this backend's data, as at a door. Since the turns are short, a machine that slows down
affects all backends."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Median and 95th percentile of a stage, in milliseconds."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class BackendTimes:
    """Times of one backend. `frame` is detect to search, `frame + pad` adds every passive model;
    each of these stands under its own name as well."""

    recipe: str
    backend: str
    precision: str
    start_s: float
    memory_mb: float
    stages: dict[str, Spent]


class Rival:
    """The pipeline of one backend, and its times."""

    def __init__(
        self, bundle: Bundle, backend: str, threads: int, k: int, engines: Path | None
    ) -> None:
        began, before = time.perf_counter(), memory_mb()
        self._pipeline: Pipeline = open_pipeline(bundle, backend, threads, engines=engines)
        self._start_s, self._memory = time.perf_counter() - began, memory_mb() - before
        self._gallery = random_gallery(k, bundle.dim)
        self._passive = list(bundle.manifest.models.passive)
        self._times: dict[str, list[float]] = {s: [] for s in (*STAGES, *self._passive)}

    def turn(self, image: Image) -> None:
        """Time one turn of frames without PAD, then one turn with PAD."""
        for number in range(WARM_UP + TURN):
            marks = self._frame(image)
            if number >= WARM_UP:
                for stage, a, b in zip(STAGES, marks, marks[1:], strict=False):
                    self._times[stage].append(b - a)
                self._times["frame"].append(marks[-1] - marks[0])
        for number in range(WARM_UP + TURN):
            marks = self._frame(image, pad=True)
            if number >= WARM_UP:
                self._times["frame + pad"].append(marks[-1] - marks[0])
                found = marks[-len(self._passive) - 1 :]
                for name, (a, b) in zip(self._passive, pairwise(found), strict=True):
                    self._times[name].append(b - a)

    def _frame(self, image: Image, pad: bool = False) -> list[float]:
        """The times in seconds at which the stages of one frame began, and the last one ended."""
        pipeline = self._pipeline
        marks = [time.perf_counter()]
        boxes = pipeline.boxes(image)
        marks.append(time.perf_counter())
        (face,) = pipeline.faces(image, boxes[:1])
        marks.append(time.perf_counter())
        aligned = pipeline.align(image, face)
        marks.append(time.perf_counter())
        embedding = pipeline.probe(aligned)
        marks.append(time.perf_counter())
        self._gallery.identify(embedding)
        marks.append(time.perf_counter())
        for name in self._passive if pad else ():
            pipeline.log_odds(name, image, face)
            marks.append(time.perf_counter())
        return marks

    def report(self) -> BackendTimes:
        stages = {stage: spent(times) for stage, times in self._times.items()}
        chosen = self._pipeline
        return BackendTimes(
            chosen.bundle.manifest.recipe,
            chosen.backend,
            chosen.precision,
            self._start_s,
            self._memory,
            stages,
        )


def random_gallery(k: int, dim: int) -> Gallery:
    """A gallery of k random unit templates; the same ones at every call."""
    gallery = Gallery(dim)
    rng = np.random.default_rng(0)
    vectors: Floats = rng.standard_normal((k, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gallery.put_many((f"subject-{i}", vectors[i : i + 1]) for i in range(k))
    return gallery


def spent(times: list[float]) -> Spent:
    """Median and 95th percentile of durations in seconds."""
    p50, p95 = np.quantile(times, [0.5, 0.95]) * 1e3
    return Spent(round(float(p50), 3), round(float(p95), 3))
