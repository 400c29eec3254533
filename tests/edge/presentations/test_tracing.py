"""What the models say is kept frame by frame, once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ostiary.edge.core.pad import motion
from ostiary.edge.core.pad.motion import CUES, Still
from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.core.types import Face, Image
from ostiary.edge.errors import RecordingError
from ostiary.edge.presentations import cache
from ostiary.edge.presentations.cache import TraceCache, traces
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.presentations.tracing import Trace, TracedLook, trace
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from tests.edge.presentations.made_up import LIVE, made
from tests.edge.presentations.test_recordings import record
from tests.edge.vision.test_observer import DARK, SHARP, OneFace
from tests.support import tiny_bundle


class Shown(OneFace):
    """A face in each frame: its brightness is what the passive model says; 10 is too dark, and 20
    shows nobody."""

    def boxes(self, image: Image) -> Any:
        self.fitness = DARK if image.mean() == 10 else SHARP
        return [] if image.mean() == 20 else super().boxes(image)

    def passive(
        self, image: Image, _face: Face, names: Collection[str] = ("pad",)
    ) -> dict[str, float]:
        return dict.fromkeys(names, float(image.mean()))


def one(path: Path, every_s: float | None = None) -> Recording:
    return Recording(path, path.name, Presentation.BONA_FIDE, person="ann", every_s=every_s)


def test_looks_are_at_usable_faces_and_pairs_are_far_enough_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames each .3 s: 0, 10 (dark), 20 (nobody), 30, 40, 50."""
    record(tmp_path / "a", *(f"{number}.png" for number in range(6)))
    pairs = []

    def compare(before: Still, now: Still) -> dict[str, float]:
        pairs.append((before.at_s, now.at_s))
        return dict.fromkeys(CUES, now.at_s - before.at_s)

    monkeypatch.setattr(motion, "compare", compare)
    pipeline: Any = Shown()
    found = trace(pipeline, one(tmp_path / "a", 0.3), 0.5)
    assert (found.frames, found.end_s) == (6, 1.5)
    assert found.gap_s == pytest.approx(0.3)
    assert found.faces_s == pytest.approx([0.0, 0.3, 0.9, 1.2, 1.5])
    assert [(look.at_s, look.passive["pad"]) for look in found.looks] == [
        (0.0, 0.0),
        (0.9, 30.0),
        (1.2, 40.0),
        (1.5, 50.0),
    ]
    assert pairs == [(0.0, 0.9), (0.9, 1.5)]
    assert [look.moved and round(look.moved["change"], 6) for look in found.looks] == [
        0.9,
        0.6,
        None,
        None,
    ]


def loaded(folder: Path, seed: int = 0) -> Bundle:
    return bundles.read(tiny_bundle.make(folder, seed))


class Tracer:
    """In place of the models; counts what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.broken = ""
        monkeypatch.setattr(cache, "trace", self._trace)
        monkeypatch.setattr(cache, "each_photo", self._each)

    def _trace(self, _pipeline: object, recording: Recording, _apart_s: float) -> Trace:
        self.asked.append(recording.name)
        if recording.name == self.broken:
            raise RecordingError("broken")
        return made([LIVE, float(len(self.asked))])

    @staticmethod
    def _each(
        _bundle: Bundle, items: Sequence[int], work: Callable[[Any, int], None], *_: object
    ) -> None:
        for item in items:
            work(None, item)


def test_a_trace_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracer, bundle = Tracer(monkeypatch), loaded(tmp_path / "bundle")
    shown = [one(record(tmp_path / name, "0.png")) for name in "ab"]
    kept = tmp_path / "traces"
    first = traces(bundle, shown, 0.5, TraceCache(kept))
    assert tracer.asked == ["a", "b"]
    with kept.open("ab") as file:
        file.write(b'{"key": "cut sho')
    assert traces(bundle, shown, 0.5, TraceCache(kept)) == first
    assert tracer.asked == ["a", "b"]


def test_a_trace_is_of_its_bundle_its_recording_and_its_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer, bundle = Tracer(monkeypatch), loaded(tmp_path / "bundle")
    folder, kept = record(tmp_path / "a", "0.png"), TraceCache(tmp_path / "traces")
    other = loaded(tmp_path / "other", 1)
    traces(bundle, [one(folder)], 0.5, kept)
    traces(bundle, [one(folder)], 0.7, kept)
    traces(bundle, [one(folder, 0.5)], 0.5, kept)
    traces(other, [one(folder)], 0.5, kept)
    assert len(tracer.asked) == 4
    record(folder, "1.png")
    traces(bundle, [one(folder)], 0.5, kept)
    assert len(tracer.asked) == 5


def test_a_broken_recording_ends_it_and_what_was_made_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer, bundle = Tracer(monkeypatch), loaded(tmp_path / "bundle")
    shown = [one(record(tmp_path / name, "0.png")) for name in "abc"]
    tracer.broken = "b"
    with pytest.raises(RecordingError, match="broken"):
        traces(bundle, shown, 0.5, TraceCache(tmp_path / "traces"))
    tracer.broken = ""
    traces(bundle, shown, 0.5, TraceCache(tmp_path / "traces"))
    assert tracer.asked == ["a", "b", "b", "c"]


def test_a_file_of_anything_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "traces").write_text("a\nb\n")
    with pytest.raises(RecordingError, match="traces, line 1 holds no trace"):
        TraceCache(tmp_path / "traces")


def test_a_trace_holds_neither_pictures_nor_embeddings() -> None:
    assert set(Trace.__struct_fields__) == {"frames", "end_s", "faces_s", "looks"}
    assert set(TracedLook.__struct_fields__) == {"at_s", "passive", "moved"}
    assert np.isfinite(made([LIVE] * 3).looks[0].passive["pad"])
