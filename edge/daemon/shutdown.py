"""Shutdown: a signal is answered at once, and the process ends by a deadline even if it hangs."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import select
import signal
import threading
import time
from pathlib import Path

from ostiary.edge.adapters.systemd import Notifier

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
CLOSED_S = 4.0
"""Seconds after the signal by which everything is closed."""
ASK_S, KILL_S, LEAVE_S = 1.5, 3.0, 4.5
"""Seconds after the signal at which child processes are asked to end, are killed, and at which this
process ends in any case."""
LAST_WORDS_S = 0.3
HUNG = 1
"""The exit code if the loop hangs and nothing could be closed."""


class Shutdown:
    """Waits for signals in its own thread, since the loop may hang when one comes.

    The thread tells systemd, keeps the deadline, and ends whatever exceeds it.
    """

    def __init__(self, service: Notifier) -> None:
        self._service = service
        self._until = float("inf")
        self._reading = -1
        self.wanted = False
        self.saved = True
        """True while nothing can be lost: before the loop begins, and once all is on the disk."""

    def listen(self) -> None:
        """Answer SIGTERM and SIGINT from now on; must be called in the main thread."""
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        # Python calls its handlers between two steps of the main thread, so never while that thread
        # hangs in a library. The byte sent to the wakeup descriptor arrives at once.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._keep_time, name="stopping", daemon=True).start()

    def left_s(self) -> float:
        """Seconds left to close, counted from the signal or, without one, from the first call."""
        self._until = min(self._until, time.monotonic() + CLOSED_S)
        return max(0.0, self._until - time.monotonic())

    def _on_signal(self, number: int, _frame: object) -> None:
        if not self.wanted:
            log.info("stopping on signal %d; a second signal ends the process at once", number)
        self.wanted = True
        self.left_s()

    # The signals' thread runs this. It never logs: the loop may hang while it holds the log's lock.

    def _keep_time(self) -> None:
        os.read(self._reading, 1)
        began = time.monotonic()
        self._service.stopping()
        if self.saved:
            # Models may take long to load; nothing can be lost yet, so do not wait for them.
            os._exit(0)
        for after_s, number in ((ASK_S, signal.SIGTERM), (KILL_S, signal.SIGKILL)):
            self._wait(began + after_s)
            for child in children(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, number)
        self._wait(began + LEAVE_S)
        if self.saved:
            os._exit(0)
        # Show where the process hangs. If stderr itself hangs, the kernel's timer ends the process.
        signal.setitimer(signal.ITIMER_REAL, LAST_WORDS_S)
        faulthandler.dump_traceback(all_threads=True)
        os._exit(HUNG)

    def _wait(self, until: float) -> None:
        """Wait until a monotonic time, but end the process at once on a second signal."""
        left_s = max(0.0, until - time.monotonic())
        if select.select([self._reading], [], [], left_s)[0]:
            os._exit(128 + os.read(self._reading, 1)[0])


def children(parent: int) -> list[int]:
    """The ids of the running child processes of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # A program's name stands in brackets before these fields, and may contain brackets too.
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            if ppid == str(parent) and state != "Z":
                found.append(int(stat.parent.name))
    return found
