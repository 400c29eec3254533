"""Mosquitto with the limits it has by default, and no database: what it keeps dies with it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from scripts import trial

PATIENCE_S = 20.0


class DefaultBroker:
    """Can be killed, and started again as empty as on the first day."""

    def __init__(self, folder: Path, settings: str = "allow_anonymous true") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = trial.free_port()
        self._conf, self._log = folder / "mosquitto.conf", folder / "mosquitto.log"
        user = os.environ.get("USER", "root")
        self._conf.write_text(f"listener {self.port} 127.0.0.1\nuser {user}\n{settings}\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert program is not None, "mosquitto is not installed: run scripts/setup"
        with self._log.open("ab") as log:
            command = [program, "-c", str(self._conf)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_S
        while self._process.poll() is None and time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(self._log.read_text())

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> DefaultBroker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
