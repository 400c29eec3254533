"""The traces of a data set, made on all cores, and kept in a file so that they are made once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from ostiary.edge.errors import RecordingError
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.presentations.tracing import Trace, trace
from ostiary.edge.runtime.bundle import MANIFEST, Bundle, sha256
from ostiary.edge.vision.batch import Done, each_photo
from ostiary.edge.vision.pipeline import Pipeline

SCHEMA = 1
"""Of the way in which a trace is made; another number makes all traces anew."""


class CachedTrace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the file: a trace, and what it is of."""

    key: str
    trace: Trace


class TraceCache:
    """Traces in a file, a JSON document a line; in memory only without a file."""

    def __init__(self, path: Path | None) -> None:
        """Raises RecordingError if the file holds anything else; a last line that was cut short is
        left out."""
        self._path, self._lock = path, threading.Lock()
        self._held: dict[str, Trace] = {}
        if path is None or not path.exists():
            return
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                one = msgspec.json.decode(line, type=CachedTrace) if line else None
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if number == len(lines):
                    break
                problem = f"{path}, line {number} holds no trace: {error}"
                raise RecordingError(problem, "delete the file, or name another") from error
            if one is not None:
                self._held[one.key] = one.trace

    def get(self, key: str) -> Trace | None:
        """The trace of a key; None if it is not there."""
        return self._held.get(key)

    def put(self, key: str, made: Trace) -> None:
        """Keep a trace. Raises OSError."""
        with self._lock:
            self._held[key] = made
            if self._path is not None:
                line = msgspec.json.encode(CachedTrace(key, made))
                with self._path.open("ab") as file:
                    file.write(line + b"\n")


def traces(
    bundle: Bundle,
    recordings: Sequence[Recording],
    apart_s: float,
    cache: TraceCache,
    backend: str = "auto",
    done: Done = lambda done, total: None,
) -> list[Trace]:
    """The trace of each presentation, in order; `done(n, total)` shows progress. `apart_s` is how
    far apart compared frames are. Raises RecordingError for the first that cannot be read."""
    keys = [_key(bundle, one, apart_s, backend) for one in recordings]
    missing = [at for at, key in enumerate(keys) if cache.get(key) is None]
    failed = threading.Event()

    def work(pipeline: Pipeline, at: int) -> None:
        if failed.is_set():
            return
        try:
            cache.put(keys[at], trace(pipeline, recordings[at], apart_s))
        except RecordingError:
            failed.set()
            raise

    if missing:
        each_photo(bundle, missing, work, backend, done)
    return [found for key in keys if (found := cache.get(key)) is not None]


def _key(bundle: Bundle, recording: Recording, apart_s: float, backend: str) -> str:
    """Names what a trace depends on: the models, the recording and how it is read."""
    path = recording.path.absolute()
    changed = path.stat().st_mtime_ns
    models = sha256((bundle.path / MANIFEST).read_bytes())
    about = (SCHEMA, models, str(path), changed, recording.every_s, apart_s, backend)
    return sha256(msgspec.json.encode(about))
