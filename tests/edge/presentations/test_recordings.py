"""Recordings are found by where they lie and by `labels.csv`, and bad ones are clear errors."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.errors import RecordingError
from ostiary.edge.presentations.frames import frames
from ostiary.edge.presentations.labels import recordings
from ostiary.edge.presentations.recordings import Recording

LIVE, ATTACK = "bona-fide/dim/ann/one", "attack/print/dim/ann/one"


def record(folder: Path, *names: str) -> Path:
    """A presentation with a frame of each name, each as bright as its place says."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((40, 40, 3), 10 * number, np.uint8))
    return folder


def labelled(folder: Path, *lines: str) -> list[Recording]:
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return recordings(folder)


def shown(path: Path, every_s: float | None = None) -> list[tuple[float, int]]:
    """The time and the brightness of each frame."""
    one = Recording(path, "one", Presentation.BONA_FIDE, every_s=every_s)
    return [(frame.at_s, round(float(frame.image.mean()))) for frame in frames(one)]


def test_the_place_says_what_a_presentation_shows(tmp_path: Path) -> None:
    record(tmp_path / LIVE), record(tmp_path / ATTACK)
    (tmp_path / "bona-fide/dim/bea").mkdir()
    (tmp_path / "bona-fide/dim/bea/two.mp4").touch()
    attack, ann, bea = recordings(tmp_path)
    assert attack == Recording(
        tmp_path / ATTACK, ATTACK, Presentation.ATTACK, "print", "dim", "ann"
    )
    assert ann == Recording(tmp_path / LIVE, LIVE, Presentation.BONA_FIDE, "", "dim", "ann")
    assert (bea.name, bea.person) == ("bona-fide/dim/bea/two.mp4", "bea")


def test_labels_say_it_of_what_lies_elsewhere_and_more_of_what_does_not(tmp_path: Path) -> None:
    record(tmp_path / LIVE), record(tmp_path / "old/7")
    header = "path,kind,type,light,person,group,every_s"
    old, ann = labelled(
        tmp_path, header, "old/7,attack,phone,back,bea,hand,0.5", f"{LIVE},,,,,tall,"
    )[::-1]
    assert old == Recording(
        tmp_path / "old/7", "old/7", Presentation.ATTACK, "phone", "back", "bea", "hand", 0.5
    )
    assert (ann.light, ann.person, ann.group, ann.every_s) == ("dim", "ann", "tall", None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,colour"], r"labels\.csv has an unknown column 'colour'"),
        (["kind"], "has no column 'path'"),
        (["path,path"], "has a column twice"),
        ([""], "is empty"),
        (["path,kind", "old,spoof"], "line 2: 'spoof' is not a kind"),
        (["path,every_s", "", f"{LIVE},0"], "line 3: every_s is '0'"),
        (["path,every_s", f"{LIVE},soon"], "line 2: every_s is 'soon'"),
        (["path", "gone"], "line 2: there is no .*gone"),
        (["path", "../old"], "line 2: '../old' is not a path in"),
        (["path", "old"], "line 2: old does not say what it shows"),
        (["path,kind,person", "old,attack,ann"], "line 2: an attack needs a type"),
        (["path,type", f"{LIVE},print"], "line 2: an attack needs a type, and bona fide has none"),
        (["path,kind", "old,bona-fide"], "line 2: a presentation needs a person"),
        (["path", LIVE, LIVE], "line 3: .*one is there already"),
        (["path", f"{LIVE},more"], "line 2: 2 cells, but the header has 1"),
        (["path", '"open'], "line 2"),
    ],
)
def test_a_wrong_label_is_told_with_its_line(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    record(tmp_path / LIVE), record(tmp_path / "old")
    with pytest.raises(RecordingError, match=message):
        labelled(tmp_path, *lines)


def test_a_folder_without_presentations_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="there is no folder"):
        recordings(tmp_path / "gone")
    with pytest.raises(RecordingError, match="holds no presentations"):
        recordings(tmp_path)


def test_frames_that_lie_too_high_up_are_an_error(tmp_path: Path) -> None:
    record(tmp_path / "bona-fide/dim", "0.png")
    with pytest.raises(RecordingError, match=r"dim/0\.png is not where a presentation lies"):
        recordings(tmp_path)


def test_a_number_is_the_time_in_milliseconds(tmp_path: Path) -> None:
    record(tmp_path, "001500.png", "9.png", "000513.png")
    assert shown(tmp_path) == [(0.0, 10), (0.504, 20), (1.491, 0)]


def test_other_frames_are_as_far_apart_as_told(tmp_path: Path) -> None:
    record(tmp_path, "frame_1.png", "frame_2.png", "frame_3.png")
    assert shown(tmp_path, 0.79) == [(0.0, 0), (0.79, 10), (1.58, 20)]
    with pytest.raises(RecordingError, match="nothing says when the frames") as caught:
        shown(tmp_path)
    assert "every_s" in caught.value.hint


def test_a_video_is_read_at_its_own_rate(tmp_path: Path) -> None:
    path = tmp_path / "one.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 4.0, (64, 64))
    for value in (40, 80, 120):
        writer.write(np.full((64, 64, 3), value, np.uint8))
    writer.release()
    assert [at for at, _ in shown(path)] == [0.0, 0.25, 0.5]
    assert [at for at, _ in shown(path, 0.5)] == [0.0, 0.5, 1.0]
    assert [value for _, value in shown(path)] == pytest.approx([40, 80, 120], abs=3)


def test_what_shows_no_motion_or_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="holds no frames"):
        shown(record(tmp_path / "none"))
    with pytest.raises(RecordingError, match="fewer than two frames"):
        shown(record(tmp_path / "one", "0.png"))
    broken = record(tmp_path / "broken", "0.png", "500.png")
    (broken / "500.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(RecordingError, match=r"500\.png"):
        shown(broken)
    same = record(tmp_path / "same", "0.png", "000.png")
    with pytest.raises(RecordingError, match="two frames of one time"):
        shown(same)
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(RecordingError, match="not a video that OpenCV reads"):
        shown(tmp_path / "no.mp4")
