"""A door in its own process, to kill it and to measure its memory; see `roster_door.main`."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.support.doors import roster_door
from tests.support.places import ROOT

PATIENCE_S = 90.0


class DoorProcess:
    """A process with `roster_door`; the test waits for its output."""

    def __init__(self, folder: Path, port: int, device: str = "north") -> None:
        self.connections = 0
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, roster_door.__file__, str(folder), str(port), device],
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, word: str, times: int = 1, end: str = "") -> None:
        """Wait until it has printed a word so often, or `end`."""
        until = time.monotonic() + PATIENCE_S
        while times:
            line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            assert line is not None, "the door has ended"
            self.connections += line == "connected"
            times = 0 if line == end else times - (line == word)

    @property
    def peak_mb(self) -> float:
        """The peak memory of the process, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    def kill(self) -> None:
        """Kill the process with SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.strip())
        self._process.stdout.close()
        self._lines.put(None)
