"""Asks the cues of presentation attack detection about each face, within a budget of time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ostiary.edge.config import Config
from ostiary.edge.core.faces.tracking import Track
from ostiary.edge.core.pad import motion
from ostiary.edge.core.pad.liveness import Liveness
from ostiary.edge.core.pad.motion import Still
from ostiary.edge.core.pad.rules import PadRules, Presentation, Verdict
from ostiary.edge.core.types import Face, Floats, Frame, Image
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.heads import pad_file
from ostiary.edge.runtime.heads.pad_file import PadFile
from ostiary.edge.vision.pipeline import Pipeline

PAIRS_A_FRAME = 1
"""Pairs of frames that are compared in one frame: a crowd must not stall the door."""
NOT_ASKED = Verdict(Presentation.UNDECIDED)
"""The verdict where PAD is not required."""


class LivenessWatch:
    """Gathers PAD's evidence on the faces in view."""

    def __init__(self, pipeline: Pipeline, rules: PadRules) -> None:
        self._pipeline, self._rules = pipeline, rules
        self._grey: tuple[int, Image] | None = None
        self._compared: tuple[int, int] = (-1, 0)

    def look(self, frame: Frame, track: Track, face: Face) -> Liveness:
        """Ask the passive models about a face in a frame. The result's `newest_lived` says if the
        frame may lend its embedding to the probe, `restarted` if the face's evidence starts over.
        """
        if track.liveness is None:
            track.liveness = Liveness(self._rules)
        # Models that the rules do not ask are not run.
        cues = self._pipeline.passive(frame.image, face, self._rules.passive.scales)
        track.liveness.look(cues, frame.at_s)
        return track.liveness

    def judge(self, frame: Frame, track: Track, face: Face, embedding: Floats) -> Verdict:
        """The verdict on a face that was looked at; first it is compared with an earlier frame of
        it, if it is time to."""
        seen = track.liveness
        if seen is None:
            return NOT_ASKED
        if self._rules.motion is not None:
            self._compare(frame, seen, face, embedding)
        return seen.verdict(frame.at_s)

    def _compare(self, frame: Frame, seen: Liveness, face: Face, embedding: Floats) -> None:
        before = seen.still
        if not seen.compares(frame.at_s) or not self._has_time(frame, before is not None):
            return
        now = Still(self._grey_of(frame), face.box_px, embedding, frame.at_s)
        cues = None if before is None else motion.compare(before, now)
        if cues is not None:
            seen.moved(cues, frame.at_s)
        seen.still = now

    def _has_time(self, frame: Frame, compares: bool) -> bool:
        """Whether this frame has time for one more pair; counts it if so."""
        index, pairs = self._compared
        pairs = pairs if index == frame.index else 0
        self._compared = (frame.index, pairs + compares)
        return not compares or pairs < PAIRS_A_FRAME

    def _grey_of(self, frame: Frame) -> Image:
        """The frame's grey picture, shared by all faces in it."""
        if self._grey is None or self._grey[0] != frame.index:
            self._grey = (frame.index, np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_BGR2GRAY)))
        return self._grey[1]


def read_pad_file(path: Path, bundle: Bundle) -> PadFile:
    """The rules that `ostiary pad fit` wrote. Raises BundleError if they cannot be read, or were
    fitted with other models than the bundle's."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}", pad_file.AGAIN) from error
    try:
        found = pad_file.parse(raw, str(path))
        found.check(bundle.manifest.model_hashes())
    except BundleError as error:
        where = "" if str(path) in error.message else f"{path}: "
        raise BundleError(f"{where}{error.message}", error.hint) from error
    return found


def pad_rules(bundle: Bundle, config: Config) -> PadRules:
    """The rules of the profile's file, or else of the bundle's `pad.json`; without either those of
    the profile's own limits. Raises BundleError if the profile's file does not fit the bundle."""
    chosen = bundle.pad if config.pad.file is None else read_pad_file(config.pad.file, bundle)
    if chosen is None:
        return pad_file.unmeasured(config.pad.min_live, config.pad.frames)
    return chosen.rules(config.pad.motion)
