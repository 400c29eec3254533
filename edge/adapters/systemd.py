"""sd_notify messages (ready, alive, stopping); without NOTIFY_SOCKET nothing is sent."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, MutableMapping

SAY_S = 0.5
"""The most seconds that a message may take: a manager that reads nothing must not hold up the door.
"""

Clock = Callable[[], float]


class Notifier:
    """Reports the service's state to systemd. Without an address nothing is sent."""

    def __init__(
        self, address: str = "", watchdog_s: float = 0.0, clock: Clock = time.monotonic
    ) -> None:
        """`address` is a path, or `@name` for an abstract socket; `watchdog_s` 0: no watchdog."""
        # An abstract address has no file; for the kernel it begins with a zero byte.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._every_s, self._clock = watchdog_s / 2, clock
        self._fed_s: float | None = None
        self._status = ""

    def ready(self, status: str) -> None:
        """Report that the service is ready."""
        self._status = _line(status)
        self._say("READY=1", f"STATUS={self._status}")

    def status(self, text: str) -> None:
        """Send a status line if it has changed."""
        if _line(text) != self._status:
            self._status = _line(text)
            self._say(f"STATUS={self._status}")

    def turned(self) -> None:
        """Feed the watchdog after a turn of the loop, once half of its time has passed.

        Only the loop may call this: a separate thread would go on while the loop hangs.
        """
        now = self._clock()
        if self._every_s and (self._fed_s is None or now - self._fed_s >= self._every_s):
            self._fed_s = now
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._say("STOPPING=1")

    def _say(self, *words: str) -> None:
        if not self._address:
            return
        data = "\n".join(words).encode("utf-8", "replace")
        # A fault of the manager's socket must not stop the door.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as speaking,
        ):
            speaking.settimeout(SAY_S)
            speaking.sendto(data, self._address)


def from_environment(
    environment: MutableMapping[str, str] = os.environ, clock: Clock = time.monotonic
) -> Notifier:
    """The notifier of this service; its variables are removed, so that no child inherits them.

    Otherwise a door's program or a camera's pipeline could report in the daemon's name.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    microseconds = environment.pop("WATCHDOG_USEC", "")
    wanted_pid = environment.pop("WATCHDOG_PID", "")
    # Other addresses, such as vsock:, belong to a manager outside this machine.
    known = address if address.startswith(("/", "@")) else ""
    ours = wanted_pid in ("", str(os.getpid()))
    watchdog_s = int(microseconds) / 1e6 if ours and microseconds.isdecimal() else 0.0
    return Notifier(known, watchdog_s, clock)


def _line(text: str) -> str:
    """Text on one line: a line feed would begin another message."""
    return " ".join(text.split())
