"""A camera that hangs turned: the operator is told, and nobody is let in until it is mended."""

from __future__ import annotations

from ostiary.edge.core.types import Reason
from ostiary.edge.daemon.decisions import Decisions, Pause
from ostiary.edge.effects.reporter import Reporter
from ostiary.edge.sections import CameraSection


class Hanging:
    """Reports when the camera begins to hang turned and when it is upright again, and denies
    meanwhile: the points of turned faces fit everybody's, so their scores mean nothing."""

    def __init__(
        self, decisions: Decisions, reporter: Reporter, camera: CameraSection, cooldown_s: float
    ) -> None:
        """`cooldown_s` is the least time between two denials for this reason."""
        self._reporter, self._camera = reporter, camera
        self._pause = Pause(decisions, cooldown_s)
        self._turn = 0

    def bars(self, turn: int, faces: int) -> bool:
        """True if nobody may be let in, because the picture would have to be turned by `turn`
        degrees clockwise. Denies if `faces` were seen."""
        if turn != self._turn:
            self._turn = turn
            self._tell()
        if turn and faces:
            self._pause.deny(Reason.DEGRADED)
        return bool(turn)

    def _tell(self) -> None:
        self._reporter.change(camera_turn=self._turn)
        if self._turn:
            wanted = rotate_for(self._turn, self._camera)
            self._reporter.event("camera-turned", f"set `rotate = {wanted}` under [camera]")
        else:
            self._reporter.event("camera-upright")


def rotate_for(turn: int, camera: CameraSection) -> int:
    """The profile's `rotate` that turns the camera's frames by `turn` more degrees clockwise."""
    # The picture is mirrored after it is turned, so that a turn runs the other way there.
    return (camera.rotate + (-turn if camera.flip else turn)) % 360
