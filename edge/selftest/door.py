"""The subject of a self-test: a door by its profile, or a bundle alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.config import Config, load_config
from ostiary.edge.runtime import engines
from ostiary.edge.sections import BundleSection, CameraSection, DeviceSection, StateSection

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PRIVATE = re.compile(r"\b(?:location|uri|user-id|user-pw|proxy\S*)=(\"[^\"]*\"|\S+)")
"""Addresses and credentials in a GStreamer pipeline."""


@dataclass(frozen=True, slots=True)
class DoorUnderTest:
    """`profile` is None if only a bundle was given; `seconds` is how long the camera is read."""

    profile: Config | None
    choice: BundleSection
    seconds: float

    def config(self) -> Config:
        """The profile, or a placeholder if only a bundle was given, so that the models can run."""
        if self.profile is not None:
            return self.profile
        nobody = DeviceSection(site="none", id="none")
        return Config(
            device=nobody,
            bundle=self.choice,
            camera=CameraSection(url=""),
            state=StateSection(path=Path()),
        )

    def engines(self) -> Path | None:
        """The folder of TensorRT engines; None without a profile."""
        return self.profile.state.path / engines.FOLDER if self.profile is not None else None


def open_door(config: Path | None, bundle: Path | None, seconds: float) -> DoorUnderTest:
    """The door of a profile, else the bundle alone. Raises ConfigError for a bad profile."""
    if config is not None:
        profile = load_config(config)
        return DoorUnderTest(profile, profile.bundle, seconds)
    return DoorUnderTest(None, BundleSection(path=bundle or Path()), seconds)


def secrets(door: DoorUnderTest) -> Iterator[str]:
    """Texts that no report may contain: addresses and credentials of the camera and the broker."""
    if door.profile is None:
        return
    url = door.profile.camera.url
    yield url
    kind, _, rest = url.partition(":")
    if kind in ("rtsp", "rtsps", "http"):
        yield rest.strip("/")
    yield from (found.strip('"') for found in _PRIVATE.findall(url))
    mqtt = door.profile.mqtt
    if mqtt is not None and mqtt.host not in LOOPBACK:
        yield mqtt.host
