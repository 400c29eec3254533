"""The camera: rate, size and brightness of its frames, and how many of them show a face."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.adapters.camera.sources import check_url, open_source
from ostiary.edge.config import Config
from ostiary.edge.core.faces import quality
from ostiary.edge.core.types import Frame, Image
from ostiary.edge.errors import BackendError, BundleError, CameraError
from ostiary.edge.sections import LIVE, CameraSection
from ostiary.edge.selftest import models, state
from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.report import Check, fail, judged, skipped
from ostiary.edge.vision.search import FaceSearch

NAME = "camera"
WAIT_S, FIRST_FRAME_S, LOOK_EVERY_S = 0.1, 12.0, 0.2
SLOW_SHARE = 0.7
SLOW = "give more light (long exposures are slow), choose another sensor mode, or lower fps"
LOOK = "check cable, URL and permissions; firmware_configs/README.md has example pipelines"
UNFIT_SHARE = 0.5
"""The share of looked-at faces from which a flaw of the picture is a problem of the camera."""
MEND = {
    "too-dark": "give the face more light, or the camera more exposure: [camera] controls",
    "too-bright": "less light or exposure on the face: [camera] controls",
    "flat": "take away what veils the picture: a dirty lens, glare, fog",
    "blurred": "focus the lens on where people stand; more light shortens the exposure",
    "too-small": "hang the camera nearer, or zoom in",
}
"""What to do about each flaw that is the picture's."""
Find = Callable[[Image], tuple[str, ...] | None]
"""The limits that the most prominent face of a picture breaks; None without a face."""


@dataclass
class CameraReading:
    """Counts of the frames that the camera gave. No picture is kept."""

    waited_s: float = 0.0
    first: Frame | None = None
    last: Frame | None = None
    taken: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    brightness: list[float] = field(default_factory=list)
    looked: int = 0
    with_face: int = 0
    unfit: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)
    ended: bool = False

    def take(self, frame: Frame) -> None:
        """Count one frame."""
        self.first, self.last = self.first or frame, frame
        self.taken += 1
        self.sizes[f"{frame.image.shape[1]}x{frame.image.shape[0]}"] += 1
        self.brightness.append(float(np.mean(frame.image[::8, ::8])))

    def fps(self) -> float:
        """Frames per second of the source, including the frames that were not taken here."""
        if self.first is None or self.last is None or self.last.at_s <= self.first.at_s:
            return 0.0
        return (self.last.index - self.first.index) / (self.last.at_s - self.first.at_s)

    def dropped(self) -> int:
        """Frames that the reader replaced with a newer one before they were taken."""
        if self.first is None or self.last is None:
            return 0
        return self.last.index - self.first.index + 1 - self.taken


def check(door: DoorUnderTest) -> Check:
    """Open the profile's camera as the daemon does, and read it for `door.seconds`."""
    if door.profile is None:
        return skipped(NAME, "no profile was given")
    camera = door.profile.camera
    live = camera.url.startswith(LIVE)
    shared = camera.url.startswith(("rtsp", "http"))
    if live and not shared and state.daemon_runs(door.profile.state.path):
        return skipped(NAME, "a running daemon uses it", "stop the daemon: systemctl stop ostiary")
    try:
        check_url(camera)
    except CameraError as error:
        return fail(NAME, error.message, error.hint)
    find, why_not = _finder(door, door.profile)
    # `drop` plays a recording at its own speed, as a camera would.
    reader = CameraReader(msgspec.structs.replace(camera, drop=True), open_source)
    seen = watch(reader, door.seconds, find)
    return judge(camera, seen, live, why_not)


def _finder(door: DoorUnderTest, profile: Config) -> tuple[Find | None, str]:
    """A function that looks at a picture's face; or None, and why the models fail."""
    try:
        pipeline = models.pipeline_of(door, models.loaded(door))
    except (BackendError, BundleError) as error:
        return None, error.message
    limits, search = profile.limits(), FaceSearch(pipeline, profile.camera.least_face_px)

    def find(image: Image) -> tuple[str, ...] | None:
        faces = pipeline.faces(image, search.boxes(image, time.monotonic())[:1])
        if not faces:
            return None
        aligned = pipeline.align(image, faces[0])
        return quality.failures(pipeline.quality(faces[0], aligned), limits)

    return find, ""


def watch(
    reader: CameraReader,
    seconds: float,
    find: Find | None,
    clock: Callable[[], float] = time.monotonic,
) -> CameraReading:
    """Read until the source ends, or for `seconds` from its first frame or first failure."""
    seen = CameraReading()
    began = looked = clock()
    reader.start()
    while not reader.ended:
        frame = reader.next(WAIT_S)
        now = clock()
        seen.events += [f"{e.event}: {e.detail}".rstrip(": ") for e in reader.events()]
        if frame is not None:
            if seen.first is None:
                seen.waited_s, began = now - began, now
            seen.take(frame)
            # Do not search every frame: a detector slower than the camera would make it drop
            # frames.
            if find is not None and (now - looked >= LOOK_EVERY_S or not seen.looked):
                looked = now
                seen.looked += 1
                failed = find(frame.image)
                seen.with_face += failed is not None
                seen.unfit.update(failed or ())
        # The camera's first failure need not be final: the reader tries again, as in the daemon.
        if now - began > (seconds if seen.first or seen.events else FIRST_FRAME_S):
            break
    seen.ended = reader.ended
    reader.close()
    return seen


def judge(camera: CameraSection, seen: CameraReading, live: bool, why_not: str) -> Check:
    """The verdict on a reading; `why_not` is why no faces were looked for, if so."""
    details: dict[str, Any] = {
        "source": source_of(camera.url),
        "asked": {"width": camera.width, "height": camera.height, "fps": camera.fps},
        "first_frame_s": round(seen.waited_s, 2),
        "frames": seen.taken,
        "fps": round(seen.fps(), 2),
        "sizes": dict(seen.sizes),
        "dropped": seen.dropped(),
        "brightness": round(float(np.mean(seen.brightness)), 1) if seen.brightness else None,
        "looked_for_faces_in": seen.looked,
        "share_with_face": round(seen.with_face / seen.looked, 3) if seen.looked else None,
        "unfit_faces": dict(seen.unfit),
        "no_faces_because": why_not,
        "events": seen.events,
        "recording_ended": seen.ended,
    }
    if seen.first is None:
        reason = "; ".join(seen.events) or f"no frame in {FIRST_FRAME_S:.0f} s"
        return fail(NAME, reason.removeprefix("camera-lost: "), LOOK, **details)
    problems = [(event, LOOK) for event in seen.events]
    asked = f"{camera.width}x{camera.height}"
    if live and set(seen.sizes) != {asked}:
        problems.append(
            (f"{asked} was asked for", "set a width and height that the camera supports")
        )
    if len(seen.sizes) > 1 and live:
        problems.append(("the size of the frames changes", LOOK))
    if live and seen.fps() < SLOW_SHARE * camera.fps:
        problems.append((f"{camera.fps:g} frames a second were asked for", SLOW))
    problems += [
        (f"{count} of {seen.with_face} faces are {flaw}", MEND[flaw])
        for flaw, count in seen.unfit.items()
        if flaw in MEND and count >= UNFIT_SHARE * seen.with_face
    ]
    faces = (
        "" if seen.looked == 0 else f", a face in {seen.with_face} of {seen.looked} searched frames"
    )
    finding = (
        f"{'/'.join(seen.sizes)}, {seen.fps():.1f} frames a second, {seen.dropped()} dropped,"
        f" brightness {details['brightness']:.0f}{faces}"
    )
    return judged(NAME, finding, problems, details)


def source_of(url: str) -> str:
    """The kind of a source, and the element names of a pipeline: no address and no password."""
    kind, colon, rest = url.partition(":")
    if kind != "gst":
        return kind if colon else "file"
    try:
        words = shlex.split(rest)
    except ValueError:
        return kind
    starts = [0, *(i + 1 for i, word in enumerate(words) if word == "!")]
    elements = [words[i].split(",")[0] for i in starts if i < len(words)]
    return f"gst: {' ! '.join(e for e in elements if '=' not in e)}"
