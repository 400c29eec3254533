"""Real sources: folders, a video file, GStreamer pipelines in place of a sensor."""

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ostiary.edge.adapters.camera.gstreamer import PipelineSource
from ostiary.edge.adapters.camera.sources import CameraSource, open_source
from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError
from ostiary.edge.sections import CameraSection
from tests.support.fakes import image
from tests.support.places import write_png

needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="GStreamer is not installed: scripts/setup"
)


def camera(url: str, **settings: Any) -> CameraSection:
    return CameraSection(url=url, **settings)


def frame_of(source: CameraSource) -> Image:
    frame = source.read()
    assert frame is not None
    return frame


def test_a_folder_holds_each_photo_in_order(tmp_path: Path) -> None:
    for name, grey in (("b.png", 20), ("a.png", 10), ("notes.txt", 0)):
        if name.endswith("png"):
            write_png(tmp_path / name, image(grey))
        else:
            (tmp_path / name).write_text("not a photo")
    source = open_source(camera(f"folder:{tmp_path}", hold_frames=2))
    seen = [source.read() for _ in range(5)]
    assert [None if s is None else int(s[0, 0, 0]) for s in seen] == [10, 10, 20, 20, None]
    assert not source.live


def test_a_folder_can_loop(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", image(10))
    write_png(tmp_path / "b.png", image(20))
    source = open_source(camera(str(tmp_path), loop=True, hold_frames=1))
    assert [int(frame_of(source)[0, 0, 0]) for _ in range(5)] == [10, 20, 10, 20, 10]


@pytest.mark.parametrize("loop", [False, True])
def test_a_folder_goes_past_a_bad_photo_and_names_it_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, loop: bool
) -> None:
    write_png(tmp_path / "a.png", image(10))
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))[1]
    (tmp_path / "b.jpg").write_bytes(whole.tobytes()[:900])
    (tmp_path / "c.jpg").write_text("not a photo")
    write_png(tmp_path / "d.png", image(20))
    source = open_source(camera(f"folder:{tmp_path}", loop=loop, hold_frames=2))
    with caplog.at_level(logging.WARNING):
        seen = [source.read() for _ in range(9)]
    after = [10, 10, 20, 20, 10] if loop else [None] * 5
    assert [None if s is None else int(s[0, 0, 0]) for s in seen] == [10, 10, 20, 20, *after]
    assert [record.getMessage().count("b.jpg is cut short") for record in caplog.records] == [1, 0]
    assert "c.jpg is not a picture" in caplog.records[1].getMessage()


def test_a_folder_of_bad_photos_only_ends_and_one_without_end_is_a_lost_camera(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.jpg").write_text("not a photo")
    assert open_source(camera(f"folder:{tmp_path}")).read() is None
    with pytest.raises(CameraError, match=r"no photo is left: .*a\.jpg is not a picture"):
        open_source(camera(f"folder:{tmp_path}", loop=True)).read()


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="holds no photos"):
        open_source(camera(f"folder:{tmp_path}"))


@pytest.mark.parametrize("url", ["nowhere.mp4", "folder:/does/not/exist", "ftp://x/y"])
def test_an_unknown_source_is_refused_with_the_known_forms(url: str) -> None:
    with pytest.raises(CameraError, match="no camera at") as caught:
        open_source(camera(url))
    assert "v4l2:" in str(caught.value)


def test_a_missing_device_is_refused() -> None:
    with pytest.raises(CameraError, match="cannot open /dev/video97"):
        open_source(camera("v4l2:/dev/video97"))


def test_a_video_file_is_read_to_its_end_and_looped(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64))
    for grey in (10, 120, 240):
        writer.write(image(grey))
    writer.release()
    source = open_source(camera(str(path)))
    greys = []
    while (frame := source.read()) is not None:
        greys.append(int(frame.mean()))
    assert greys == pytest.approx([10, 120, 240], abs=3)
    source.close()
    looped = open_source(camera(str(path), loop=True))
    assert [int(frame_of(looped).mean()) > 200 for _ in range(6)] == [False, False, True] * 2
    looped.close()


@needs_gstreamer
def test_a_pipeline_gives_bgr_of_the_asked_size() -> None:
    source = open_source(camera("gst:videotestsrc pattern=blue is-live=true", width=64, height=48))
    frame = frame_of(source)
    source.close()
    assert frame.shape == (48, 64, 3)
    assert np.abs(frame.reshape(-1, 3).mean(0) - [255, 0, 0]).max() < 6


@needs_gstreamer
def test_a_pipeline_that_ends_or_is_wrong_says_why() -> None:
    ended = open_source(camera("gst:videotestsrc num-buffers=2", width=64, height=48))
    assert ended.read() is not None
    assert ended.read() is not None
    with pytest.raises(CameraError, match="pipeline ended"):
        ended.read()
    ended.close()
    wrong = open_source(camera("gst:nosuchsource", width=64, height=48))
    with pytest.raises(CameraError, match="nosuchsource"):
        wrong.read()
    wrong.close()


@needs_gstreamer
def test_output_of_a_pipeline_shifts_no_frame() -> None:
    noisy = "videotestsrc pattern=blue ! tee name=t t. ! queue ! fakesink dump=true t. ! queue"
    source = open_source(camera(f"gst:{noisy}", width=64, height=48))
    for _ in range(40):
        frame = frame_of(source)
    source.close()
    assert np.abs(frame.reshape(-1, 3) - np.array([255, 0, 0])).max() < 6


@needs_gstreamer
def test_a_pipeline_that_hangs_can_be_interrupted() -> None:
    source = open_source(
        camera("gst:videotestsrc num-buffers=1 ! identity sleep-time=60000000", width=64, height=48)
    )
    began = time.monotonic()
    source.interrupt()
    with pytest.raises(CameraError):
        source.read()
    source.close()
    assert time.monotonic() - began < 30


def test_the_first_picture_waits_for_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = tmp_path / "gst-launch-1.0"
    caps = "/GstPipeline:p/GstVideoConvert:ostiary.GstPad:sink: caps = video/x-raw"
    late.write_text(
        "#!/usr/bin/env bash\n"
        'for last; do :; done\nhead -c 9216 /dev/zero >&"${last#fd=}"\nsleep 0.2\n'
        f"echo '{caps}, width=(int)640, height=(int)360'\nexec sleep 60\n"
    )
    late.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    source = open_source(camera("gst:anything", width=64, height=48))
    frame_of(source)
    source.close()
    assert source.size_px == (640, 360)


@needs_gstreamer
def test_a_pipeline_whose_size_changes_keeps_the_asked_size_and_reports_the_new() -> None:
    small = "videotestsrc pattern=blue num-buffers=5 ! video/x-raw,width=64,height=48"
    large = "videotestsrc pattern=red ! video/x-raw,width=640,height=360"
    both = f"{small} ! concat name=both {large} ! both. both."
    source = open_source(camera(f"gst:{both}", width=128, height=96))
    frames: list[Image] = []
    sizes: list[tuple[int, int] | None] = []
    # gst-launch prints a size in another thread, so it may come any number of pictures later.
    while len(frames) < 6 or sizes[-1] == (64, 48):
        frames.append(frame_of(source))
        sizes.append(source.size_px)
    source.close()
    assert sizes[0] == (64, 48)
    assert sizes[-1] == (640, 360)
    assert {frame.shape for frame in frames} == {(96, 128, 3)}
    middles = [frame[30:66, 40:88].reshape(-1, 3).mean(0) for frame in frames]
    assert np.abs(middles[4] - [255, 0, 0]).max() < 6
    assert np.abs(middles[5] - [0, 0, 255]).max() < 6


def test_a_video_whose_size_changes_goes_on_in_its_first_size(tmp_path: Path) -> None:
    pictures = [image(20, 64, 64)] * 3 + [image(200, 96, 128)] * 3
    path = tmp_path / "a.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", p)[1].tobytes() for p in pictures))
    source = open_source(camera(str(path)))
    frames = [frame_of(source) for _ in range(6)]
    source.close()
    assert [(frame.shape[:2], int(frame.mean()) > 100) for frame in frames] == [
        ((64, 64), False)
    ] * 3 + [((64, 64), True)] * 3


def test_an_error_of_opencv_becomes_a_camera_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
            return True

        def read(self) -> Any:
            raise cv2.error("corrupt")

    (tmp_path / "a.avi").write_bytes(b"")
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: Broken())
    with pytest.raises(CameraError, match="gives no pictures: corrupt"):
        open_source(camera(str(tmp_path / "a.avi"))).read()


CHATTERBOX = """#!/bin/bash
fd="${!#}"
while true; do yes "a warning" | head -c 50000 >&2; head -c 9216 /dev/zero >&"${fd#fd=}"; done
"""


def test_a_pipeline_that_warns_at_every_frame_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "gst-launch-1.0"
    program.write_text(CHATTERBOX)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    source = open_source(camera("gst:any", width=64, height=48))
    assert isinstance(source, PipelineSource)
    for _ in range(40):
        source.read()
        # 64 kB that may stay, and what the program writes ahead: 50 kB for each of 8 frames in a
        # pipe. All 40 frames would write 2 MB.
        assert os.fstat(source._said.fileno()).st_size < 600_000
    source.close()


def test_a_width_with_padded_rows_is_refused() -> None:
    with pytest.raises(CameraError, match="multiple of 4"):
        open_source(camera("gst:videotestsrc", width=62, height=48))
