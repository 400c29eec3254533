"""What the models say of a presentation, frame by frame, before any rule judges it."""

from __future__ import annotations

import cv2
import msgspec
import numpy as np

from ostiary.edge.core.faces import quality
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.pad import motion
from ostiary.edge.core.pad.motion import Still
from ostiary.edge.core.types import Face, Frame
from ostiary.edge.presentations.frames import frames
from ostiary.edge.presentations.recordings import Recording
from ostiary.edge.sections import CameraSection
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.edge.vision.search import FaceSearch

LEAST_FACE_PX = float(CameraSection(url="").least_face_px)
"""The least distance between the eyes of a face that is looked for, as at a door."""


class TracedLook(msgspec.Struct, forbid_unknown_fields=True):
    """A frame whose face is fit to be compared: the raw `passive` cues, and in `moved` the raw
    motion cues of this frame and the first such frame that is far enough from it in time; None if
    there is none, or if the two say nothing. `at_s` is since the first frame."""

    at_s: float
    passive: dict[str, float]
    moved: dict[str, float] | None = None


class Trace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A presentation as the models see it: its number of `frames`, the time of the last one, the
    times of those with a face, and the looks at it. It holds neither pictures nor embeddings."""

    frames: int
    end_s: float
    faces_s: list[float]
    looks: list[TracedLook]

    @property
    def gap_s(self) -> float:
        """The mean time between two frames."""
        return self.end_s / max(self.frames - 1, 1)


def trace(pipeline: Pipeline, recording: Recording, apart_s: float) -> Trace:
    """Run the models over the most prominent face of each frame; frames that break a limit of
    quality are not looked at, as at a door. Raises RecordingError."""
    search = FaceSearch(pipeline, LEAST_FACE_PX)
    looks, faces_s = _Looks(pipeline, apart_s), []
    count, end_s = 0, 0.0
    for frame in frames(recording):
        count, end_s = count + 1, frame.at_s
        found = search.boxes(frame.image, frame.at_s)
        if found:
            faces_s.append(frame.at_s)
            looks.take(frame, pipeline.faces(frame.image, found[:1])[0])
    return Trace(count, end_s, faces_s, looks.taken)


class _Looks:
    """The looks so far, and the frames that wait for the one that they are compared with."""

    def __init__(self, pipeline: Pipeline, apart_s: float) -> None:
        self._pipeline, self._apart_s = pipeline, apart_s
        self._waiting: list[tuple[TracedLook, Still]] = []
        self.taken: list[TracedLook] = []

    def take(self, frame: Frame, face: Face) -> None:
        aligned = self._pipeline.align(frame.image, face)
        if quality.failures(self._pipeline.quality(face, aligned), Limits()):
            return
        grey = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY), np.uint8)
        still = Still(grey, face.box_px, self._pipeline.probe(aligned), frame.at_s)
        waiting = []
        for look, before in self._waiting:
            if motion.is_apart(before, frame.at_s, self._apart_s):
                cues = motion.compare(before, still)
                look.moved = None if cues is None else dict(cues)
            else:
                waiting.append((look, before))
        look = TracedLook(frame.at_s, self._pipeline.passive(frame.image, face))
        self._waiting = [*waiting, (look, still)]
        self.taken.append(look)
