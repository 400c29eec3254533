"""What is tested: a door by its profile, or a bundle alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ostiary.edge.config import (
    BundleSection,
    CameraSection,
    Config,
    DeviceSection,
    StateSection,
    load_config,
)
from ostiary.edge.runtime import engines

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PRIVATE = re.compile(r"\b(?:location|uri|user-id|user-pw|proxy\S*)=(\"[^\"]*\"|\S+)")
"""Where an element of GStreamer connects to, and as whom."""


@dataclass(frozen=True, slots=True)
class Door:
    """`profile` is None where only a bundle was given; `seconds` is how long the camera is read."""

    profile: Config | None
    choice: BundleSection
    seconds: float

    def config(self) -> Config:
        """The profile, or one that stands in for it where the models are run without a door."""
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
        """The folder of TensorRT's engines."""
        return self.profile.state.path / engines.FOLDER if self.profile is not None else None


def open_door(config: Path | None, bundle: Path | None, seconds: float) -> Door:
    """Raises ConfigError where the profile is none."""
    if config is not None:
        profile = load_config(config)
        return Door(profile, profile.bundle, seconds)
    return Door(None, BundleSection(path=bundle or Path()), seconds)


def secrets(door: Door) -> Iterator[str]:
    """What no report may hold: where the camera and the broker are, and who logs in there."""
    if door.profile is None:
        return
    url = door.profile.camera.url
    yield url
    kind, _, rest = url.partition(":")
    if kind in ("rtsp", "rtsps"):
        yield rest.strip("/")
    yield from (found.strip('"') for found in _PRIVATE.findall(url))
    mqtt = door.profile.mqtt
    if mqtt is not None and mqtt.host not in LOOPBACK:
        yield mqtt.host
