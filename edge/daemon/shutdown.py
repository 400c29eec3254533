"""The end: a signal is answered at once, and by one deadline the process is gone, hung or not."""

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
"""After the signal: what is open is closed by then."""
ASK_S, KILL_S, LEAVE_S = 1.5, 3.0, 4.5
"""Children that the door or the camera still waits for are asked to end, and killed; and the
process leaves as it is."""
LAST_WORDS_S = 0.3
HUNG = 1
"""The exit code where the loop hangs and nothing could be closed."""


class Shutdown:
    """Waits for signals in a thread of its own, since the loop may hang when one comes.

    The thread decides nothing: it tells systemd, keeps the deadline, and ends what overruns it.
    """

    def __init__(self, service: Notifier) -> None:
        self._service = service
        self._until = float("inf")
        self._reading = -1
        self.wanted = False
        self.saved = True
        """There is nothing to lose: the loop has not begun, or everything is on the disk."""

    def listen(self) -> None:
        """Answer SIGTERM and SIGINT from now on; from the main thread only."""
        self._reading, writing = os.pipe()
        os.set_blocking(writing, False)
        # Python calls handlers between two steps of the main thread, so never while it hangs in
        # a library. What the kernel's own handler writes here comes at once.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._keep_time, name="stopping", daemon=True).start()

    def left_s(self) -> float:
        """How long closing may still take; without a signal the time begins with the first call."""
        self._until = min(self._until, time.monotonic() + CLOSED_S)
        return max(0.0, self._until - time.monotonic())

    def _on_signal(self, number: int, _frame: object) -> None:
        if not self.wanted:
            log.info("stopping on signal %d; once more to leave at once", number)
        self.wanted = True
        self.left_s()

    # Called in the thread. It never logs: the loop may hang with the log's lock in its hand.

    def _keep_time(self) -> None:
        os.read(self._reading, 1)
        began = time.monotonic()
        self._service.stopping()
        if self.saved:
            # Models that load for long are not waited for.
            os._exit(0)
        for after_s, number in ((ASK_S, signal.SIGTERM), (KILL_S, signal.SIGKILL)):
            self._wait(began + after_s)
            for child in children(os.getpid()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, number)
        self._wait(began + LEAVE_S)
        if self.saved:
            os._exit(0)
        # Where it hangs is worth knowing. The timer is the kernel's: stderr may be what hangs.
        signal.setitimer(signal.ITIMER_REAL, LAST_WORDS_S)
        faulthandler.dump_traceback(all_threads=True)
        os._exit(HUNG)

    def _wait(self, until: float) -> None:
        """Wait, but leave at once on a second signal."""
        left_s = max(0.0, until - time.monotonic())
        if select.select([self._reading], [], [], left_s)[0]:
            os._exit(128 + os.read(self._reading, 1)[0])


def children(parent: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name before it is in brackets and may hold anything, brackets too.
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            if ppid == str(parent) and state != "Z":
                found.append(int(stat.parent.name))
    return found
