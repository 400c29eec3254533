"""Network cameras that send MJPEG over HTTP: well, oddly, wrongly, and with a password."""

import logging
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest

from ostiary.edge.adapters.camera.mjpeg import BAD_FRAMES, MAX_FRAME_BYTES, MjpegSource
from ostiary.edge.adapters.camera.reader import CameraReader
from ostiary.edge.adapters.camera.sources import check_url, open_source, shown
from ostiary.edge.core.types import Image
from ostiary.edge.errors import CameraError
from ostiary.edge.sections import LIVE, CameraSection
from tests.support.fakes import image
from tests.support.inputs.mjpeg_camera import Answer, MjpegCamera, head, part

Made = Callable[..., MjpegCamera]


@pytest.fixture
def made() -> Iterator[Made]:
    cameras: list[MjpegCamera] = []

    def make(answer: Answer, **settings: Any) -> MjpegCamera:
        cameras.append(MjpegCamera(answer, **settings))
        return cameras[-1]

    yield make
    for camera in cameras:
        camera.close()


@pytest.fixture
def source_of() -> Iterator[Callable[[str], MjpegSource]]:
    opened: list[MjpegSource] = []

    def open_it(url: str) -> MjpegSource:
        source = open_source(CameraSection(url=url))
        assert isinstance(source, MjpegSource)
        opened.append(source)
        return source

    yield open_it
    for source in opened:
        source.close()


Opened = Callable[[str], MjpegSource]


def greys(source: MjpegSource, number: int) -> list[float]:
    return [float(source.read().mean()) for _ in range(number)]


def chunked(pieces: list[bytes]) -> list[bytes]:
    whole = b"".join(pieces)
    cut = [whole[i : i + 700] for i in range(0, len(whole), 700)]
    started = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    started += b'Content-Type: multipart/x-mixed-replace;boundary="frame"\r\n\r\n'
    return [started, *(b"%x\r\n" % len(piece) + piece + b"\r\n" for piece in cut)]


PICTURES = [image(40), image(120), image(200)]
STREAMS: dict[str, list[bytes]] = {
    "lengths": [head(), *(part(picture) for picture in PICTURES)],
    "no lengths": [head(), *(part(picture, length=False) for picture in PICTURES), b"--frame\r\n"],
    "dashes in the name": [
        head("multipart/x-mixed-replace; boundary=--frame"),
        *(part(picture, length=False) for picture in PICTURES),
        b"--frame\r\n",
    ],
    "another boundary than announced": [
        head("multipart/x-mixed-replace; boundary=other"),
        *(part(picture) for picture in PICTURES),
    ],
    "an empty line first": [head(), b"\r\n", *(part(picture) for picture in PICTURES)],
    "chunked": chunked([part(picture) for picture in PICTURES]),
    "in small pieces": [
        head(),
        *(bytes([byte]) for byte in b"".join(part(picture) for picture in PICTURES)),
    ],
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_picture_is_read_however_the_stream_is_written(
    made: Made, source_of: Opened, name: str
) -> None:
    source = source_of(made(lambda request: STREAMS[name]).url())
    assert source.live
    assert greys(source, 3) == pytest.approx([40, 120, 200], abs=1)
    with pytest.raises(CameraError, match=r"127\.0\.0\.1"):
        source.read()


def test_a_colour_picture_is_bgr(made: Made, source_of: Opened, portrait: Image) -> None:
    source = source_of(made(lambda request: [head(), part(portrait)]).url())
    got = source.read()
    assert got.shape == portrait.shape
    assert np.abs(got.astype(int) - portrait.astype(int)).mean() < 3


def test_a_picture_that_is_none_is_passed_over(made: Made, source_of: Opened) -> None:
    rubbish = b"--frame\r\nContent-Length: 4\r\n\r\nJPEG\r\n"
    huge = part(image(9)).replace(b"\x00\x40\x00\x40", b"\xff\x00\xff\x00", 1)
    source = source_of(made(lambda request: [head(), rubbish, huge, part(image(90))]).url())
    assert greys(source, 1) == pytest.approx([90], abs=1)
    source = source_of(made(lambda request: [head(), rubbish * BAD_FRAMES, part(image(90))]).url())
    with pytest.raises(CameraError, match="no JPEGs"):
        source.read()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([head("text/html"), b"<html>"], "sends text/html, not MJPEG"),
        ([head("image/jpeg")], "sends image/jpeg, not MJPEG"),
        ([head(status="404 Not Found")], "404"),
        ([b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"], "302"),
        ([b"SSH-2.0-OpenSSH\r\n"], "cannot open"),
        ([], "cannot open"),
    ],
)
def test_what_is_no_stream_is_refused_with_the_reason(
    made: Made, answer: list[bytes], said: str
) -> None:
    camera = CameraSection(url=made(lambda request: answer).url())
    with pytest.raises(CameraError, match=said) as caught:
        open_source(camera)
    assert "MJPEG stream" in caught.value.hint


@pytest.mark.parametrize(
    "stream",
    [
        [head("multipart/x-mixed-replace"), part(image(9), length=False)],
        [head(), b"--frame\r\nContent-Length: %d\r\n\r\n" % (MAX_FRAME_BYTES + 1)],
        [head(), b"--frame\r\nContent-Length: -5\r\n\r\n"],
        [head(), b"--frame\r\nContent-Length: many\r\n\r\n"],
        [head(), b"--frame\r\n\r\n", *[b"\xff" * 2**20] * (MAX_FRAME_BYTES // 2**20 + 2)],
        [head(), b"x" * 10_000],
        [head(), b"--frame\r\n", b"A: b\r\n" * 5000],
        [head(), part(image(9))[:-100]],
    ],
)
def test_a_stream_without_bounds_is_an_error_and_fills_no_memory(
    made: Made, source_of: Opened, stream: list[bytes]
) -> None:
    source = source_of(made(lambda request: stream).url())
    with pytest.raises(CameraError, match=r"127\.0\.0\.1"):
        source.read()


def test_a_camera_that_is_not_there_is_an_error(made: Made) -> None:
    camera = MjpegCamera(lambda request: [])
    camera.close()
    with pytest.raises(CameraError, match="cannot open"):
        open_source(CameraSection(url=camera.url("me:secret@")))


def test_a_read_that_hangs_can_be_interrupted(made: Made, source_of: Opened) -> None:
    source = source_of(made(lambda request: [head(), part(image(50))], hang=True).url())
    source.read()
    threading.Timer(0.05, source.interrupt).start()
    with pytest.raises(CameraError):
        source.read()


def protected(kind: str, wanted: str) -> Answer:
    """Asks for a password, and plays its stream to whoever answers with `wanted` in the header."""

    def answer(request: str) -> list[bytes]:
        if wanted in request:
            return [head(), part(image(70))]
        return [f"HTTP/1.0 401 No\r\nWWW-Authenticate: {kind}\r\n\r\n".encode()]

    return answer


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ('Basic realm="cam"', "Authorization: Basic bWU6cyFjcmV0"),
        ('Digest realm="cam", nonce="abc", qop="auth"', 'Authorization: Digest username="me"'),
    ],
)
def test_user_and_password_answer_a_camera_that_asks(
    made: Made, source_of: Opened, kind: str, wanted: str
) -> None:
    camera = made(protected(kind, wanted))
    assert greys(source_of(camera.url("me:s%21cret@")), 1) == pytest.approx([70], abs=1)
    assert "s!cret" not in camera.requests[-1]
    with pytest.raises(CameraError, match="401") as caught:
        open_source(
            CameraSection(url=camera.url("me:wrong1@") if "Basic" in kind else camera.url())
        )
    assert "wrong1" not in f"{caught.value} {caught.value.hint}"
    assert "USER:PASSWORD@" in caught.value.hint


def test_a_password_is_in_no_error(made: Made, source_of: Opened) -> None:
    camera = made(lambda request: [head(), part(image(9))])
    source = source_of(camera.url("me:secret@"))
    source.read()
    said = []
    with pytest.raises(CameraError) as caught:
        source.read()
    said.append(str(caught.value))
    for url in ("rtsp://me:secret@127.0.0.1:1/a", "htp://me:secret@host/", "http://me:secret@/"):
        with pytest.raises(CameraError) as caught:
            check_url(CameraSection(url=url))
            open_source(CameraSection(url=url))
        said.append(str(caught.value))
    assert not any("secret" in text or "me:" in text for text in said), said
    assert shown("rtsp://me:a/b@c@host/x") == "rtsp://host/x"
    assert shown("v4l2:/dev/video0") == "v4l2:/dev/video0"


def test_no_proxy_of_the_environment_sees_the_stream(
    made: Made, source_of: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    source = source_of(made(lambda request: [head(), part(image(30))]).url())
    assert greys(source, 1) == pytest.approx([30], abs=1)


def test_check_url_knows_the_form() -> None:
    check_url(CameraSection(url="http://camera.example/video.mjpg"))
    assert "http://camera".startswith(LIVE)
    for url in ("http:", "http://", "http://:80/", "http://host:port/"):
        with pytest.raises(CameraError):
            check_url(CameraSection(url=url))


def test_the_reader_opens_a_stream_again_that_ended(
    made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    numbers = count(1)
    # Not of one colour, which the reader takes for a broken sensor.
    scene = np.random.default_rng(3).integers(0, 40, (64, 64, 3), np.uint8)

    def answer(request: str) -> list[bytes]:
        return [head(), part(np.asarray(scene + 20 * next(numbers) % 200, np.uint8))]

    camera = made(answer)
    section = CameraSection(url=camera.url("me:secret@"))
    reader = CameraReader(section, open_source, wait=lambda left, seconds: None)
    with caplog.at_level(logging.DEBUG):
        reader.start()
        seen, events = list[int](), list[str]()
        while len(seen) < 3:
            frame = reader.next(10.0)
            if frame is not None:
                seen.append(round(float(frame.image.mean())))
            events += [f"{event.event} {event.detail}" for event in reader.events()]
        assert reader.close(10.0)
    assert len(set(seen)) == 3
    events += [f"{event.event} {event.detail}" for event in reader.events()]
    assert any(event.startswith("camera-lost") for event in events)
    assert any(event.startswith("camera-back") for event in events)
    assert "secret" not in "".join(events) + caplog.text
