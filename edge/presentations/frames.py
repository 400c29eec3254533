"""The frames of a recording, with their times: a folder of pictures, or a video file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ostiary.edge.adapters.photos import is_photo, read_photo
from ostiary.edge.core.types import Frame
from ostiary.edge.errors import PhotoError, RecordingError
from ostiary.edge.presentations.recordings import LABELS, Recording

LEAST = 2
"""The least number of frames of a presentation: one frame shows no motion."""
MILLISECONDS = re.compile(r"[0-9]{1,9}")
MOST_FPS = 1000.0
TIMED = f"name frames by their milliseconds, as 000513.jpg, or give every_s in {LABELS}"

# A video that is damaged is told once, by an error; FFmpeg would print a line as well.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


def frames(recording: Recording) -> Iterator[Frame]:
    """The frames of a presentation in order; `at_s` is since the first. Raises RecordingError if
    there are fewer than LEAST, if one cannot be read, or if nothing says when they were taken."""
    read = _pictures if recording.path.is_dir() else _video
    count = 0
    for frame in read(recording):
        count += 1
        yield frame
    if count < LEAST:
        said = "holds no frames" if not count else "has fewer than two frames"
        raise RecordingError(f"{recording.path} {said}", "a presentation lasts some seconds")


def _pictures(recording: Recording) -> Iterator[Frame]:
    files = sorted(path for path in recording.path.iterdir() if is_photo(path))
    times = _times(recording, files)
    for index, at in enumerate(sorted(range(len(files)), key=lambda at: times[at])):
        try:
            image = read_photo(files[at])
        except PhotoError as error:
            raise RecordingError(error.message, error.hint) from error
        yield Frame(image, round(times[at] - min(times), 6), index)


def _times(recording: Recording, files: list[Path]) -> list[float]:
    """The time of each file in seconds."""
    if recording.every_s is not None:
        return [index * recording.every_s for index in range(len(files))]
    if not all(MILLISECONDS.fullmatch(file.stem) for file in files):
        raise RecordingError(f"nothing says when the frames of {recording.path} were taken", TIMED)
    times = [int(file.stem) / 1000 for file in files]
    if len(set(times)) < len(times):
        raise RecordingError(f"{recording.path} has two frames of one time", TIMED)
    return times


def _video(recording: Recording) -> Iterator[Frame]:
    capture = cv2.VideoCapture(str(recording.path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise RecordingError(f"{recording.path} is not a video that OpenCV reads")
        every_s = recording.every_s or _every_s(capture, recording)
        index = 0
        while True:
            got, image = capture.read()
            if not got:
                return
            yield Frame(np.asarray(image, np.uint8), round(index * every_s, 6), index)
            index += 1
    except cv2.error as error:
        raise RecordingError(f"{recording.path} cannot be read: {error}") from error
    finally:
        capture.release()


def _every_s(capture: cv2.VideoCapture, recording: Recording) -> float:
    fps = capture.get(cv2.CAP_PROP_FPS)
    if not 0 < fps <= MOST_FPS:
        problem = f"{recording.path} does not say how many frames a second it has"
        raise RecordingError(problem, f"give every_s in {LABELS}")
    return 1 / fps
