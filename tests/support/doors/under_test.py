"""A door as the self-test judges it, from a profile of its own."""

from __future__ import annotations

from pathlib import Path

from ostiary.edge.config import Config
from ostiary.edge.sections import BundleSection, CameraSection, DeviceSection, StateSection
from ostiary.edge.selftest.door import DoorUnderTest


def door_on(
    folder: Path, bundle: Path = Path("none"), url: str = "v4l2:/dev/video0"
) -> DoorUnderTest:
    profile = Config(
        device=DeviceSection(site="test", id="door"), bundle=BundleSection(path=bundle),
        camera=CameraSection(url=url), state=StateSection(path=folder),
    )  # fmt: skip
    return DoorUnderTest(profile, profile.bundle, 0.2)
