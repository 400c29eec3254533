"""Claimed subjects from a card reader or keypad: each line is a claim."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import termios
import tty
from pathlib import Path
from typing import Protocol

from ostiary.edge.errors import ConfigError

MAX_LINE = 128
FORMS = "line:PATH for a serial port, FIFO or file, or evdev:/dev/input/eventN"


class LineParser(Protocol):
    """Splits a device's bytes into whole lines; an incomplete line is kept for the next call."""

    def feed(self, data: bytes) -> list[str]: ...


class TextLines:
    """Lines of text, ended by a line feed, a carriage return, or both."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        parts = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        # A reader that sends no line ends must not fill the memory.
        self._rest = parts.pop()[-MAX_LINE:]
        return [part[:MAX_LINE].decode("ascii", "replace").strip() for part in parts if part]


EVENT = struct.Struct("@llHHi")
"""The kernel's input_event: seconds, microseconds, type, code, value."""
KEY_EVENT, KEY_DOWN = 1, 1
KEY_ENTER, KEY_KEYPAD_ENTER = 28, 96
MODIFIERS = {29, 42, 54, 56, 58, 97, 100, 125, 126}
"""Control, Shift, Alt, Caps Lock and Meta are ignored: subjects are always lower-case."""
GRAB = 0x40044590
"""EVIOCGRAB, exclusive access: card numbers must not also be typed into a console."""
ROWS = {2: "1234567890-", 16: "qwertyuiop", 30: "asdfghjkl", 44: "zxcvbnm"}
KEYPAD = {82: "0", 79: "1", 80: "2", 81: "3", 75: "4", 76: "5", 77: "6", 71: "7", 72: "8", 73: "9"}
KEYS = KEYPAD | {first + i: key for first, row in ROWS.items() for i, key in enumerate(row)}
"""Key codes of <linux/input-event-codes.h> for the characters of a subject's id."""


class KeyEvents:
    """Lines from a card reader that types like a keyboard, each ended by Enter."""

    def __init__(self) -> None:
        self._rest = b""
        self._typed = ""

    def feed(self, data: bytes) -> list[str]:
        data = self._rest + data
        whole = len(data) // EVENT.size * EVENT.size
        self._rest = data[whole:]
        lines = []
        for _, _, kind, code, value in EVENT.iter_unpack(data[:whole]):
            if kind != KEY_EVENT or value != KEY_DOWN or code in MODIFIERS:
                continue
            if code in (KEY_ENTER, KEY_KEYPAD_ENTER):
                lines.append(self._typed)
                self._typed = ""
            else:
                self._typed = (self._typed + KEYS.get(code, "?"))[-MAX_LINE:]
        return lines


class ClaimSource:
    """Reads a device without blocking; an unplugged device is opened again at the next poll."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL of an unknown form. The device may be connected later."""
        kind, _, path = url.partition(":")
        if kind not in ("line", "evdev") or not path:
            raise ConfigError(f"{url!r} is not a claim source", f"use {FORMS}")
        self._path, self._keys = Path(path), kind == "evdev"
        self._descriptor: int | None = None
        self._parser: LineParser = TextLines()
        self._is_file = False
        self.problem = ""

    def poll(self) -> list[str]:
        """The lines that came since the last call, without empty ones.

        `problem` says why the device cannot be read; it is empty if the device can be read.
        """
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            data = os.read(self._descriptor, 4096)
        except BlockingIOError:
            data = b""
        except (OSError, termios.error) as error:
            return self._lose(str(error.args[-1]))
        else:
            if not data and not self._is_file:
                return self._lose("the device hung up")
        self.problem = ""
        return [line for line in self._parser.feed(data) if line]

    def _lose(self, reason: str) -> list[str]:
        self.problem = f"{self._path}: {reason}"
        self.close()
        return []

    def close(self) -> None:
        """Close the device."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        mode = self._path.stat().st_mode
        # A FIFO that is open for writing here too reports no end when its last writer leaves.
        access = os.O_RDWR if stat.S_ISFIFO(mode) else os.O_RDONLY
        descriptor = os.open(self._path, access | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        self._parser = KeyEvents() if self._keys else TextLines()
        self._is_file = stat.S_ISREG(mode)
        try:
            self._prepare(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _prepare(self, descriptor: int) -> None:
        if self._is_file:
            # Lines that are in the file already are old claims: those people have left the door.
            os.lseek(descriptor, 0, os.SEEK_END)
        elif self._keys:
            fcntl.ioctl(descriptor, GRAB, 1)
        elif os.isatty(descriptor):
            tty.setraw(descriptor, termios.TCSANOW)
            termios.tcflush(descriptor, termios.TCIFLUSH)
