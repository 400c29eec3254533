"""V4L2 controls on a made-up device: what is set, and every way in which a camera says no."""

import struct
from errno import EINVAL, EIO
from pathlib import Path

import pytest

from ostiary.edge.adapters.camera import controls
from ostiary.edge.adapters.camera.controls import controlled, set_controls
from ostiary.edge.errors import CameraError

INTEGER, BOOLEAN, MENU, TEXT = 1, 2, 3, 7
AUTO, TIME, LIGHT, MAKER = 0x9A0901, 0x9A0902, 0x98091C, 0x980A00
INACTIVE = 0x10


class MadeUpCamera:
    """Answers as the kernel does: exposure time is inactive while exposure is automatic."""

    def __init__(self) -> None:
        self.kinds = {
            LIGHT: (INTEGER, b"Backlight Compensation", 0, 2),
            MAKER: (TEXT, b"Maker", 0, 0),
            AUTO: (MENU, b"Auto Exposure", 0, 3),
            TIME: (INTEGER, b"Exposure Time, Absolute", 3, 2047),
        }
        self.values = {LIGHT: 0, AUTO: 3, TIME: 250}
        self.step, self.broken = 1, False

    def ioctl(self, file: int, request: int, data: bytearray) -> None:
        if request == controls.QUERY:
            self._query(data)
            return
        number, value = struct.unpack("=Ii", data)
        if request == controls.SET:
            if self.broken:
                raise OSError(EIO, "Input/output error")
            self.values[number] = value // self.step * self.step
        data[:] = struct.pack("=Ii", number, self.values[number])

    def _query(self, data: bytearray) -> None:
        assert len(data) == 68
        asked = struct.unpack_from("=I", data)[0]
        after = [known for known in sorted(self.kinds) if known > asked & 0x7FFFFFFF]
        if asked & 0x80000000 and not after:
            raise OSError(EINVAL, "Invalid argument")
        number = after[0] if asked & 0x80000000 else asked
        kind, name, least, most = self.kinds[number]
        flags = INACTIVE if number == TIME and self.values[AUTO] == 3 else 0
        data[:] = struct.pack(
            "=II32siiiiI8x", number, kind, name, least, most, self.step, least, flags
        )


def test_the_controls_are_set_in_the_given_order() -> None:
    camera = MadeUpCamera()
    wanted = {"auto_exposure": 1, "exposure_time_absolute": 400, "backlight_compensation": 2}
    set_controls(0, wanted, camera.ioctl)
    assert camera.values == {AUTO: 1, TIME: 400, LIGHT: 2}


@pytest.mark.parametrize(
    ("wanted", "said", "hint"),
    [
        ({"contrast": 1}, "no control 'contrast'", "auto_exposure, backlight_compensation"),
        ({"maker": 1}, "no control 'maker'", "exposure_time_absolute"),
        ({"backlight_compensation": 3}, "takes 0 to 2, not 3", "correct"),
        ({"exposure_time_absolute": 400}, "cannot be set now", "automatic"),
    ],
)
def test_what_the_camera_does_not_take_is_said(
    wanted: dict[str, int], said: str, hint: str
) -> None:
    camera = MadeUpCamera()
    with pytest.raises(CameraError, match=said) as caught:
        set_controls(0, wanted, camera.ioctl)
    assert hint in caught.value.hint
    assert camera.values == {LIGHT: 0, AUTO: 3, TIME: 250}


def test_a_camera_that_refuses_or_rounds_a_value_is_not_believed() -> None:
    camera = MadeUpCamera()
    camera.step = 100
    with pytest.raises(CameraError, match="took 400 in place of 450"):
        set_controls(0, {"auto_exposure": 0, "exposure_time_absolute": 450}, camera.ioctl)
    camera.broken = True
    with pytest.raises(CameraError, match="refuses 1 for its control 'backlight_compensation'"):
        set_controls(0, {"backlight_compensation": 1}, camera.ioctl)


class Closable:
    closed = False

    def close(self) -> None:
        self.closed = True


def test_the_source_is_closed_if_its_controls_cannot_be_set(tmp_path: Path) -> None:
    source = Closable()
    assert controlled(source, str(tmp_path / "video0"), {}) is source
    assert not source.closed
    with pytest.raises(CameraError, match="cannot set the controls"):
        controlled(source, str(tmp_path / "video0"), {"gain": 1})
    assert source.closed
    plain, other = tmp_path / "no-camera", Closable()
    plain.write_bytes(b"")
    with pytest.raises(CameraError, match="no control 'gain'"):
        controlled(other, str(plain), {"gain": 1})
    assert other.closed
