"""Many photos into embeddings, on all cores."""

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
    """The embedding of a photo's most prominent face, or the problem; and its quality failures."""

    embedding: Floats | None
    problem: str = ""
    faces: int = 0
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class CropResult:
    """The same before it is embedded: the aligned face."""

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
    """One float embedding a photo, in their order; `done(n, total)` is called as they finish."""
    return each_photo(bundle.in_float(), photos, embed_photo, backend, done)


def each_photo(
    bundle: Bundle,
    photos: Sequence[Item],
    work: Callable[[Pipeline, Item], Result],
    backend: str = "auto",
    done: Done = lambda done, total: None,
) -> list[Result]:
    """What `work` makes of each photo, or of each person's photos, in their order.

    A thread a core, each with models of its own on one thread: the kernels release the
    interpreter's lock, and one face is too small to share out.
    """
    workers = max(min(os.cpu_count() or 1, len(photos)), 1)
    # Opened and tried here, one by one: two threads that meet OpenVINO's first tensor at once can
    # wait for each other for ever.
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
    """The result of one photo; a photo that can not be read is a problem, not an error."""
    found = crop_photo(pipeline, photo)
    embedding = None if found.image is None else pipeline.embed(found.image)
    return PhotoResult(embedding, found.problem, found.faces, found.failures)


def crop_photo(pipeline: Pipeline, photo: Path) -> CropResult:
    """The most prominent face of one photo, aligned, or the problem."""
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
