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
from ostiary.edge.core.faces import exposure, quality
from ostiary.edge.core.types import Floats, Image
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline
from ostiary.edge.vision.turns import as_upright_as_it_gets

Item = TypeVar("Item")
Result = TypeVar("Result")
Done = Callable[[int, int], None]
NO_FACE = "no face"
UPRIGHT_NEEDED = "the face is not upright"
LIMITS = quality.Limits()


@dataclass(frozen=True, slots=True, eq=False)
class PhotoResult:
    """The embedding of a photo's most prominent face, or None and the problem.

    `faces` is the number of faces found, `failures` the quality limits that the embedded face
    breaks, `precision` the type that the encoder computed in (see `Pipeline.precision`). `degrees`
    is by how much the photo was turned clockwise, so that the face is upright.
    """

    embedding: Floats | None
    problem: str = ""
    faces: int = 0
    failures: tuple[str, ...] = ()
    precision: str = ""
    degrees: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class CropResult:
    """The aligned crop of a photo's most prominent face, cleared as the pipeline clears it for the
    encoder; otherwise as `PhotoResult`."""

    image: Image | None
    problem: str = ""
    faces: int = 0
    failures: tuple[str, ...] = ()
    degrees: int = 0


def embed_photos(
    bundle: Bundle,
    photos: Sequence[Path],
    backend: str = "auto",
    done: Done = lambda done, total: None,
    as_probe: bool = False,
) -> list[PhotoResult]:
    """One result per photo, in order; `done(n, total)` shows progress.

    Templates are embedded by the float encoder. With `as_probe` the photos are embedded as a door
    embeds its probes: by the int8 encoder, if the bundle has one that works here.
    """
    if as_probe:
        return each_photo(bundle, photos, probe_photo, backend, done)
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
    """The template of one photo; an unreadable photo is a `problem`, not an exception."""
    return _embedded(pipeline, photo, pipeline.embed)


def probe_photo(pipeline: Pipeline, photo: Path) -> PhotoResult:
    """The probe of one photo; an unreadable photo is a `problem`, not an exception."""
    return _embedded(pipeline, photo, pipeline.probe)


def _embedded(pipeline: Pipeline, photo: Path, embed: Callable[[Image], Floats]) -> PhotoResult:
    found = crop_photo(pipeline, photo)
    embedding, problem = None, found.problem
    if quality.NOT_UPRIGHT in found.failures:
        # The landmarks of a turned face are nobody's, and its embedding is like any other's.
        problem = UPRIGHT_NEEDED
    elif found.image is not None:
        embedding = embed(found.image)
    return PhotoResult(
        embedding, problem, found.faces, found.failures, pipeline.precision, found.degrees
    )


def crop_photo(pipeline: Pipeline, photo: Path) -> CropResult:
    """The aligned crop of one photo; an unreadable photo is a `problem`, not an exception."""
    try:
        image = read_photo(photo)
    except PhotoError as error:
        return CropResult(None, error.message)
    upright = as_upright_as_it_gets(pipeline, image)
    if not upright.faces:
        return CropResult(None, NO_FACE)
    face = upright.faces[0]
    aligned = pipeline.align(upright.image, face)
    failures = quality.failures(pipeline.quality(face, aligned), LIMITS)
    return CropResult(exposure.cleared(aligned), "", len(upright.faces), failures, upright.degrees)
