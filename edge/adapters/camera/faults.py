"""What a camera reports of itself, and what its pictures show to be wrong with it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from ostiary.edge.core.scene.watch import COVERED, LOOPED, MOVED, SceneWatch
from ostiary.edge.core.types import Image


@dataclass(frozen=True, slots=True)
class CameraEvent:
    """`camera-lost` with the reason, `camera-back`, `camera-changed` with both sizes, or one of
    `BEGINS` with the reason and of `ENDS`."""

    event: str
    detail: str = ""


BEGINS = {
    LOOPED: CameraEvent("camera-looped"),
    COVERED: CameraEvent("camera-covered"),
    MOVED: CameraEvent("camera-moved"),
}
ENDS = {
    LOOPED: CameraEvent("camera-live"),
    COVERED: CameraEvent("camera-uncovered"),
    MOVED: CameraEvent("camera-settled"),
}
MEND = {
    LOOPED: "look for what stands between the camera and the door",
    COVERED: "clear the lens, or give light",
    MOVED: "hang the camera back, or restart the service to accept the new view",
}


class SceneGuard:
    """Watches a live source's pictures, through every attempt to open it."""

    def __init__(self, frozen_s: float, shut_on: Collection[str]) -> None:
        """Pictures that were shown before are held back if `shut_on` has "looped"."""
        self._watch, self._holds_back = SceneWatch(frozen_s), LOOPED in shut_on

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults that there are now, in the order of the alphabet."""
        return self._watch.faults

    def look(self, image: Image, seen: Image, now: float) -> tuple[bool, list[CameraEvent]]:
        """Whether to pass an image on, and what to report; `seen` are the pixels sampled from it.

        A picture that was shown before cannot be live: its face must not collect votes.
        """
        changes = self._watch.look(image, now, seen)
        told = [
            replace(BEGINS[change.fault], detail=f"{change.why}: {MEND[change.fault]}")
            if change.begins
            else ENDS[change.fault]
            for change in changes
        ]
        return not (self._holds_back and self._watch.again), told
