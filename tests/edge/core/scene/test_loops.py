"""Streams that are no live ones are known, and live ones are never taken for such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from ostiary.edge.core.scene import repeats
from ostiary.edge.core.scene.recurring import Recurrence
from ostiary.edge.core.scene.watch import LIVE_S, SceneWatch
from ostiary.edge.core.types import Image
from tests.support.inputs.streams import FPS, Corridor, as_jpeg, denoised, found


def again(pictures: Iterable[Image], seconds: float) -> Iterator[Image]:
    """A recording that is played over and over."""
    recorded = list(pictures)
    for number in range(round(seconds * FPS)):
        yield recorded[number % len(recorded)]


def encoded(pictures: Iterable[Image], file: Path, codec: str, fps: float = FPS) -> Iterator[Image]:
    """The same after a video encoder and decoder."""
    first, *others = pictures
    writer = cv2.VideoWriter(
        str(file), cv2.VideoWriter.fourcc(*codec), fps, (first.shape[1], first.shape[0])
    )
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {codec}")
    for picture in (first, *others):
        writer.write(picture)
    writer.release()
    reading = cv2.VideoCapture(str(file))
    while (read := reading.read())[0]:
        yield np.asarray(read[1], np.uint8)


def stamped(pictures: Iterable[Image], rows: int = 1) -> Iterator[Image]:
    """With a counter in a corner that shows another picture each time: a clock, or one pixel."""
    for number, picture in enumerate(pictures):
        shown = picture.copy()
        shown[:rows, : max(1, 10 * (rows - 1))] = number % 251
        yield shown


@pytest.mark.parametrize("rows", [1, 20], ids=["one pixel", "a clock"])
def test_a_still_picture_in_which_little_changes(rows: int) -> None:
    still = next(Corridor().pictures(1))
    pictures = list(stamped([still] * 15 * FPS, rows))
    assert found(pictures) == ["looped"]
    # Whoever says that a picture may stand still is believed.
    assert found(pictures[: 13 * FPS], frozen_s=0) == []


def test_two_pictures_in_turn() -> None:
    two = list(Corridor().pictures(2 / FPS))
    assert found(again(two, 6)) == ["looped"]
    assert found(stamped(again(two, 15), 20)) == ["looped"]


@pytest.mark.parametrize("seconds", [0.7, 5, 30])
def test_a_recording_that_is_looped(seconds: float) -> None:
    assert found(again(Corridor().walked(seconds), seconds + 6)) == ["looped"]


def test_a_recording_that_is_looped_under_a_clock() -> None:
    assert found(stamped(again(Corridor().pictures(6), 18), 20)) == ["looped"]


@pytest.mark.parametrize("quality", [90, 50])
def test_a_loop_that_is_encoded_again_as_jpeg(quality: int) -> None:
    pictures = as_jpeg(again(as_jpeg(Corridor().pictures(6), quality), 18), quality - 5)
    # A counter keeps it from being the same to the last pixel.
    assert found(stamped(pictures)) == ["looped"]


@pytest.mark.parametrize("codec", ["VP80", "mp4v"])
def test_a_loop_that_is_encoded_again_as_video(codec: str, tmp_path: Path) -> None:
    recorded = encoded(Corridor().walked(7), tmp_path / "1.avi", codec)
    played = stamped(encoded(again(recorded, 26), tmp_path / "2.avi", codec))
    assert found(played) == ["looped"]


def test_it_is_over_when_new_pictures_have_come_for_a_while() -> None:
    corridor = Corridor()
    pictures = chain(again(corridor.pictures(0.5), 6), corridor.pictures(LIVE_S + 4))
    assert found(pictures) == ["looped", "-looped"]
    pictures = chain(again(corridor.pictures(0.5), 6), corridor.pictures(LIVE_S - 6))
    assert found(pictures) == ["looped"]


def test_a_picture_that_comes_again_is_known_at_once() -> None:
    watch, pictures = SceneWatch(4.0), list(Corridor().pictures(2))
    for number, picture in enumerate([*pictures, pictures[3]]):
        watch.look(picture, number / FPS)
        assert watch.again == (number == len(pictures))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "REMEMBERED", 10)
    known = repeats.Repeats()
    for number in range(100):
        assert not known.again(b"%d" % number, number)
    assert known.again(b"95", 101)
    assert not known.again(b"80", 102)
    assert len(known._known) <= 11


def test_new_noise_on_a_still_picture_is_not_told() -> None:
    """docs/limits.md says so, and why: a sensor's noise is about as strong in bright as in dark."""
    corridor, rng = Corridor(), np.random.default_rng(1)
    seen = np.array(list(corridor.pictures(20)), np.float32)
    level, noise = seen.mean(axis=0), seen.std(axis=0)
    dark, bright = (noise[part].mean() for part in ((level > 30) & (level < 60), level > 140))
    assert 0.6 < dark / bright < 1.7
    still = level[..., :1].repeat(3, axis=2)
    made_up = (
        np.clip(still + rng.normal(0, noise.mean(), still.shape), 0, 255).astype(np.uint8)
        for _ in range(40 * FPS)
    )
    assert found(made_up) == []


@pytest.mark.parametrize("electrons", [1000, 4000, 60_000])
def test_an_empty_corridor_is_live(electrons: float) -> None:
    assert found(Corridor(2, electrons).pictures(60)) == []


def test_so_it_is_through_a_temporal_filter() -> None:
    """What is left of the noise stays for a second or two, and looks like a short loop."""
    assert found(denoised(Corridor().pictures(30), 0.02)) == []


@pytest.mark.parametrize("quality", [80, 30])
def test_so_it_is_through_a_temporal_filter_and_jpeg(quality: int) -> None:
    pictures = Corridor(3, 20_000).pictures(45)
    assert found(as_jpeg(denoised(pictures), quality)) == []


@pytest.mark.parametrize("codec", ["VP80", "mp4v"])
def test_so_it_is_through_a_video_encoder(codec: str, tmp_path: Path) -> None:
    pictures = encoded(denoised(Corridor(3, 20_000).pictures(45)), tmp_path / "1.avi", codec)
    assert found(pictures) == []


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize(("fps", "hz"), [(15, 100), (30, 100), (25, 120), (15, 101)])
def test_lamps_that_pulse_are_no_loop(fps: int, hz: float, share: float) -> None:
    """At 15 frames a second light of 100 Hz comes out the same at every third."""
    corridor = Corridor(4, 60_000, read=8)
    pictures = list(corridor.pulsed(300 / fps, share, fps, hz))
    assert found(pictures, fps) == []
    assert found(denoised(pictures), fps) == []


def test_nor_are_they_on_a_sensor_almost_without_noise() -> None:
    assert found(Corridor(4, 5e6, read=1).pulsed(12, 0.5, 15), 15) == []


def test_what_is_as_much_alike_just_beside_its_lag_is_no_loop() -> None:
    """As where shadows creep: a sensor's noise is another one picture later."""
    recurrence, lags = Recurrence(), np.arange(1, 601)
    recurrence._count, recurrence._times_s[:600] = 600, np.arange(600) / 10
    recurrence._excess[:600] = 0.9 * np.exp(-(((lags - 100) / 10) ** 2))
    assert recurrence._judged(60.0) is None
    recurrence._excess[:600] = 0.5 * np.exp(-(((lags - 100) / 10) ** 2))
    recurrence._excess[99] = 0.9
    assert recurrence._judged(60.0) == pytest.approx(10.0)


def test_people_who_go_to_and_fro_are_no_loop() -> None:
    # They are where they were after 2 s, again and again.
    assert found(Corridor(5).walked(30, step=np.pi)) == []


def test_a_screen_that_shows_a_loop_is_none() -> None:
    """A third of the picture recurs to the last pixel."""
    corridor = Corridor(6)
    shown = list(Corridor(7).pictures(4))
    pictures = []
    for number, picture in enumerate(corridor.pictures(40)):
        picture[:, :100] = shown[number % len(shown)][:, :100]
        pictures.append(picture)
    assert found(pictures) == []


def test_night_is_no_loop_even_where_black_stands_still() -> None:
    corridor = Corridor(8)
    light = corridor.light(2e-4, 2e-4)
    assert found(corridor.picture(light) for _ in range(45 * FPS)) == []
    dark = np.clip(corridor.picture(light), 0, 3)
    hot = [dark.copy(), dark.copy()]
    hot[1][8, 8] = 40
    assert found(islice(again(hot, 20), 20 * FPS)) == []
