"""Asks a V4L2 camera for the controls of the profile: exposure, gain, back light and the like."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ostiary.edge.errors import CameraError


class _Closes(Protocol):
    def close(self) -> None: ...


Source = TypeVar("Source", bound=_Closes)
Ioctl = Callable[[int, int, bytearray], object]
QUERY, GET, SET = 0xC0445624, 0xC008561B, 0xC008561C
"""VIDIOC_QUERYCTRL, VIDIOC_G_CTRL and VIDIOC_S_CTRL of linux/videodev2.h."""
_DESCRIBED, _VALUE = struct.Struct("=II32siiiiI8x"), struct.Struct("=Ii")
_NEXT = 0x80000000
_DISABLED, _READ_ONLY, _INACTIVE = 0x1, 0x4, 0x10
_NUMBERS = frozenset({1, 2, 3, 8, 9})
"""The types whose value is one number: integer, boolean, menu, bitmask, integer menu."""
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Control:
    """One control of a camera, with the name that `v4l2-ctl --list-ctrls` gives it."""

    id: int
    name: str
    least: int
    most: int
    flags: int


def controlled(source: Source, device: str, wanted: Mapping[str, int]) -> Source:
    """The source, after its camera took the wanted values. Otherwise the source is closed, and
    CameraError raised: a camera that ignores its profile must not look as if it obeyed."""
    if not wanted:
        return source
    try:
        file = os.open(f"/dev/video{device}" if device.isdecimal() else device, os.O_RDWR)
        try:
            set_controls(file, wanted)
        finally:
            os.close(file)
    except OSError as error:
        source.close()
        raise CameraError(f"cannot set the controls of {device}: {error.strerror}") from error
    except CameraError:
        source.close()
        raise
    return source


def set_controls(file: int, wanted: Mapping[str, int], ioctl: Ioctl = fcntl.ioctl) -> None:
    """Set the controls of an open device in the given order: an automatic one first has to be
    turned off. Raises CameraError for a control or a value that the camera does not take."""
    known = {control.name: control for control in _controls(file, ioctl)}
    for name, value in wanted.items():
        control = known.get(name)
        if control is None:
            has = ", ".join(sorted(known)) or "none"
            raise CameraError(f"the camera has no control {name!r}", f"it has {has}")
        if not control.least <= value <= control.most:
            raise CameraError(
                f"the camera's control {name!r} takes {control.least} to {control.most},"
                f" not {value}",
                "correct [camera] controls",
            )
        _set(file, control, value, ioctl)


def _set(file: int, control: Control, value: int, ioctl: Ioctl) -> None:
    # What another control governs changes while that one is set: ask again.
    flags = _described(file, control.id, ioctl).flags
    if flags & (_READ_ONLY | _INACTIVE):
        raise CameraError(
            f"the camera's control {control.name!r} cannot be set now",
            "turn off the automatic one that governs it, by a control before it",
        )
    try:
        ioctl(file, SET, bytearray(_VALUE.pack(control.id, value)))
        answer = bytearray(_VALUE.pack(control.id, 0))
        ioctl(file, GET, answer)
    except OSError as error:
        raise CameraError(
            f"the camera refuses {value} for its control {control.name!r}: {error.strerror}",
            "v4l2-ctl --list-ctrls-menus shows what it takes",
        ) from error
    taken = _VALUE.unpack(answer)[1]
    if taken != value:
        raise CameraError(
            f"the camera's control {control.name!r} took {taken} in place of {value}",
            "v4l2-ctl --list-ctrls shows its steps",
        )


def _controls(file: int, ioctl: Ioctl) -> Iterator[Control]:
    number = 0
    while True:
        try:
            found = _described(file, number | _NEXT, ioctl)
        except OSError:
            return
        number = found.id
        if found.name:
            yield found


def _described(file: int, number: int, ioctl: Ioctl) -> Control:
    """A control by its id, or the one after it; without a name if its value is no number."""
    asked = bytearray(_DESCRIBED.pack(number, 0, b"", 0, 0, 0, 0, 0))
    ioctl(file, QUERY, asked)
    found, kind, name, least, most, _, _, flags = _DESCRIBED.unpack(asked)
    usable = kind in _NUMBERS and not flags & _DISABLED
    return Control(found, _name(name) if usable else "", least, most, flags)


def _name(raw: bytes) -> str:
    text = raw.split(b"\0", 1)[0].decode("ascii", "replace").lower()
    return _NOT_IN_NAMES.sub("_", text).strip("_")
