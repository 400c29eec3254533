"""A stand-in for systemd: a notify socket, and the daemon run as a service on it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.doors.real_daemon import PATIENCE_S, Door, eventually
from tests.support.places import ROOT

GONE_S, SLACK_S = 5.0, 3.0
"""Seconds for the service to end after the signal, and what a busy machine may add."""
ENTRY = """
import contextlib, os, sys
sys.path.insert(0, {root!r})
from ostiary.edge.__main__ import main
from ostiary.edge.adapters.camera import reader, sources
from ostiary.edge.vision import observer, pipeline

def blocks(module, name):
    '''The step says that it was reached, and then hangs until it may go on.'''
    real = getattr(module, name)
    def step(*given, **named):
        if os.path.exists({gate!r}):
            open({said!r}, "w").close()
            with contextlib.suppress(FileNotFoundError):
                open({gate!r}).close()
        return real(*given, **named)
    setattr(module, name, step)

blocks({where}, {name!r})
main()
"""


class Manager:
    """All notifications of the service, each with its time in seconds."""

    def __init__(self, folder: Path) -> None:
        self.address = folder / "notify"
        self.heard: list[tuple[float, str]] = []
        self._arrived = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.address))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while data := self._socket.recv(65536):
            with self._arrived:
                self.heard.append((time.monotonic(), data.decode()))
                self._arrived.notify_all()

    def words(self) -> list[str]:
        return [word for _, text in self.heard for word in text.split("\n")]

    def times(self, word: str) -> list[float]:
        return [at for at, text in self.heard if word in text.split("\n")]

    def until(self, met: Callable[[Manager], bool], patience_s: float = PATIENCE_S) -> bool:
        """Wait until a condition on the notifications holds; False if it never does."""
        with self._arrived:
            return self._arrived.wait_for(lambda: met(self), patience_s)

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.address))
        self._thread.join(PATIENCE_S)
        self._socket.close()


class Service(Door):
    """The daemon with systemd's variables; `entry` is a script that replaces the command."""

    manager: Manager
    watchdog_s = 30.0
    entry: Sequence[str] = ("-m", "ostiary.edge")
    stderr: int | None = None

    def start(self) -> Service:
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(self.manager.address),
            "WATCHDOG_USEC": str(round(self.watchdog_s * 1e6)),
        }
        command = [sys.executable, *self.entry, "run", "--config", str(self._profile)]
        with self._log.open("ab") as log:
            stderr = self.stderr or log
            self._process = subprocess.Popen(command, stderr=stderr, env=environment)
        return self

    def wait(self) -> int:
        """The exit code."""
        assert self._process is not None
        return self._process.wait(PATIENCE_S)


def ends(service: Service, within_s: float = GONE_S + SLACK_S) -> int:
    """Send SIGTERM; returns the exit code, which must come in time."""
    began = time.monotonic()
    code = service.end(signal.SIGTERM)
    assert time.monotonic() - began < within_s, service.log()
    # Sent before the end, but the manager's thread may not have read it yet.
    assert service.manager.until(lambda heard: "STOPPING=1" in heard.words())
    return code


def held_up(folder: Path, service: Service) -> Blocked:
    """Start a service that hangs in the golden vectors."""
    blocked = Blocked(folder / "entry", "pipeline.golden", "outputs")
    blocked.hang()
    service.entry = (str(blocked.script),)
    service.start()
    assert blocked.reached(), service.log()
    return blocked


def ready(manager: Manager) -> bool:
    return manager.until(lambda heard: bool(heard.times("READY=1")))


class Blocked:
    """A daemon one of whose steps hangs, from `hang` until `go_on`."""

    def __init__(self, folder: Path, where: str, name: str) -> None:
        folder.mkdir()
        self._gate, self._said = folder / "gate", folder / "said"
        self.script = folder / "entry.py"
        self.script.write_text(
            ENTRY.format(
                root=str(ROOT), gate=str(self._gate), said=str(self._said), where=where, name=name
            )
        )

    def hang(self) -> None:
        self._said.unlink(missing_ok=True)
        os.mkfifo(self._gate)

    def reached(self) -> bool:
        return eventually(self._said.exists)

    def go_on(self) -> None:
        # Remove the gate before it opens, or the next turn would hang as well.
        writer = os.open(self._gate, os.O_RDWR)
        self._gate.unlink()
        os.close(writer)
