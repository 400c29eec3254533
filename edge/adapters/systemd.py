"""The service manager: ready, alive and stopping, as sd_notify says it; nobody there, no word."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, MutableMapping

SAY_S = 0.5
"""The longest a word may take: a manager whose socket is full must not hold up the door."""

Clock = Callable[[], float]


class Notifier:
    """Tells systemd how the service is. Without an address every word is dropped."""

    def __init__(
        self, address: str = "", watchdog_s: float = 0.0, clock: Clock = time.monotonic
    ) -> None:
        """`address` is a path, or `@name` for an abstract one; `watchdog_s` 0 is no watchdog."""
        # A leading zero byte is how the kernel names what has no file.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every_s, self._clock = watchdog_s / 2, clock
        self._fed_s: float | None = None
        self._status = ""

    def ready(self, status: str) -> None:
        """The door is watched from now on."""
        self._status = _line(status)
        self._say("READY=1", f"STATUS={self._status}")

    def status(self, text: str) -> None:
        """Say in a line how it is, where that has changed."""
        if _line(text) != self._status:
            self._status = _line(text)
            self._say(f"STATUS={self._status}")

    def turned(self) -> None:
        """The loop has turned once more; the watchdog hears of it at half of its time.

        Only the loop may call this: said by a thread of its own it would hide a loop that hangs.
        """
        now = self._clock()
        if self._every_s and (self._fed_s is None or now - self._fed_s >= self._every_s):
            self._fed_s = now
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._say("STOPPING=1")

    def _say(self, *words: str) -> None:
        if not self._address:
            return
        data = "\n".join(words).encode("utf-8", "replace")
        # Whatever is wrong with the manager's socket is no reason to stop watching the door.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaking,
        ):
            speaking.settimeout(SAY_S)
            speaking.sendto(data, self._address)


def from_environment(
    environment: MutableMapping[str, str] = os.environ, clock: Clock = time.monotonic
) -> Notifier:
    """The notifier of this service; its variables are taken out, so that no child inherits them.

    A door's program or a camera's pipeline that found them could speak in the daemon's name.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    microseconds = environment.pop("WATCHDOG_USEC", "")
    wanted_pid = environment.pop("WATCHDOG_PID", "")
    # Others, such as vsock:, speak to a manager outside of this machine.
    known = address if address.startswith(("/", "@")) else ""
    ours = wanted_pid in ("", str(os.getpid()))
    watchdog_s = int(microseconds) / 1e6 if ours and microseconds.isdecimal() else 0.0
    return Notifier(known, watchdog_s, clock)


def _line(text: str) -> str:
    """Text as the value of one line: a line feed in it would begin a word of its own."""
    return " ".join(text.split())
