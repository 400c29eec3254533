"""Computes the embeddings of many photos, on all cores."""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces import quality
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline

Item = TypeVar("Item")
Result = TypeVar("Result")
Done = Callable[[int, int], None]
NO_FACE = "no face"
LIMITS = quality.Limits()


@dataclass(frozen=True, slots=True, eq=False)
class PhotoResult:
    """The embedding of a photo's most prominent face, or None and the problem.

    `faces` is the number of faces found, `failures` the quality limits that the embedded face
    breaks.
    """

    embedding: Floats | None
    problem: str = ""
    faces: int = 0
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CropResult:
    """The aligned crop of a photo's most prominent face; otherwise as `PhotoResult`."""

    image: Image | None
    problem: str = ""
    faces: int = 0
    failures: tuple[str, ...] = ()


def embed_photos(
    bundle: Bundle,
    photos: Sequence[Path],
    backend: str = "auto",
    done: Done = lambda done, total: None,
) -> list[PhotoResult]:
    """One result per photo, in order, by the float encoder; `done(n, total)` shows progress."""
    return each_photo(bundle.in_float(), photos, embed_photo, backend, done)


def each_photo(
    bundle: Bundle,
    photos: Sequence[Item],
    work: Callable[[Pipeline, Item], Result],
    backend: str = "auto",
    done: Done = lambda done, total: None,
) -> list[Result]:
    """The results of `work` on each item (a photo, or one person's photos), in order.

    There is one thread per core, each with its own single-threaded models: the kernels release the
    interpreter's lock, and one face is too little work for several threads.
    """
    workers = max(min(os.cpu_count() or 1, len(photos)), 1)
    # Open them one after another: two threads that create OpenVINO's first tensor at once can
    # deadlock.
    pipelines = [open_pipeline(bundle, backend, threads=1) for _ in range(workers)]
    idle: queue.SimpleQueue[Pipeline] = queue.SimpleQueue()
    for pipeline in pipelines:
        idle.put(pipeline)

    def one(photo: Item) -> Result:
        pipeline = idle.get()
        try:
            return work(pipeline, photo)
        finally:
            idle.put(pipeline)

    results = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(one, photos):
            results.append(result)
            done(len(results), len(photos))
    for pipeline in pipelines:
        pipeline.close()
    return results


def embed_photo(pipeline: Pipeline, photo: Path) -> PhotoResult:
    """The result of one photo; an unreadable photo is a `problem`, not an exception."""
    found = crop_photo(pipeline, photo)
    embedding = None if found.image is None else pipeline.embed(found.image)
    return PhotoResult(embedding, found.problem, found.faces, found.failures)


def crop_photo(pipeline: Pipeline, photo: Path) -> CropResult:
    """The aligned crop of one photo; an unreadable photo is a `problem`, not an exception."""
    try:
        image = read_photo(photo)
    except PhotoError as error:
        return CropResult(None, error.message)
    boxes = pipeline.boxes(image)
    if not boxes:
        return CropResult(None, NO_FACE)
    (face,) = pipeline.faces(image, boxes[:1])
    aligned = pipeline.align(image, face)
    failures = quality.failures(pipeline.quality(face, aligned), LIMITS)
    return CropResult(aligned, "", len(boxes), failures)
