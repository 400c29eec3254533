"""A real daemon in its own process, and a real subscriber to its messages."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho

from ostiary.edge import wire
from ostiary.edge.adapters.storage.journal import Journal
from ostiary.edge.adapters.storage.state_dir import JOURNAL, STORE
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.types import Template
from ostiary.edge.wire import (
    DecisionMessage,
    EventMessage,
    RosterMessage,
    StateMessage,
    Topics,
)
from scripts import trial

PATIENCE_S = 90.0
TOPICS = Topics("test", "door")
PROFILE = """
[device]
site = "test"
id = "door"
[bundle]
path = "{bundle}"
{bundle_more}
[camera]
url = "{camera}"
fps = 30
loop = true
{camera_more}
[state]
path = "{state}"
[recognition]
{recognition}
[lockout]
{lockout}
[mqtt]
host = "127.0.0.1"
port = {port}
telemetry_s = 1
{more}
"""
CHATTY = "votes = 1\ndenials = 1\ncooldown_s = 0.01\nreopen_s = 0.01"
"""A door that decides on almost every frame."""


def eventually(met: Callable[[], bool]) -> bool:
    """Poll a condition, such as on another process's file; False if it is never met."""
    end, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not met():
        if time.monotonic() > end:
            return False
        pause.wait(0.01)
    return True


class Door:
    """A profile, and the daemon that runs on it."""

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        camera: str,
        port: int,
        recognition: str = CHATTY,
        more: str = "",
        state: Path | None = None,
        camera_more: str = "",
        bundle_more: str = "",
        lockout: str = "failures = 0",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.state = state or folder / "state"
        self._log = folder / "log"
        self._profile = folder / "door.toml"
        self._profile.write_text(
            PROFILE.format(
                bundle=bundle,
                camera=camera,
                port=port,
                recognition=recognition,
                more=more,
                state=self.state,
                camera_more=camera_more,
                bundle_more=bundle_more,
                lockout=lockout,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def enroll(self, template: Template) -> None:
        store = Store(self.state / STORE)
        store.put(template, 0.0)
        store.close()

    def start(self) -> Door:
        command = [sys.executable, "-m", "ostiary.edge", "run", "--config", str(self._profile)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log)
        return self

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(PATIENCE_S)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the process for the time of the context, wherever it is."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def journal(self) -> Journal:
        return Journal(self.state / JOURNAL)

    def log(self) -> str:
        return self._log.read_text()

    def __enter__(self) -> Door:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.running:
            self.end(signal.SIGKILL)


class Listener:
    """All messages of the device that the broker delivers, in order."""

    def __init__(self, port: int, name: str = "listener") -> None:
        self.decisions: list[DecisionMessage] = []
        self.events: list[EventMessage] = []
        self.states: list[StateMessage] = []
        self.rosters: list[RosterMessage] = []
        self._arrived: queue.Queue[None] = queue.Queue()
        self._client = trial.subscribe(port, "ostiary/1/test/device/door/#", name)
        self._client.on_message = self._take
        # Messages published before the subscription is active would be missed.
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.loop_start()
        assert subscribed.wait(PATIENCE_S), "the broker does not answer the SUBSCRIBE"

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        if message.topic == TOPICS.decision:
            self.decisions.append(wire.decode(bytes(message.payload), DecisionMessage))
        elif message.topic == TOPICS.event:
            self.events.append(wire.decode(bytes(message.payload), EventMessage))
        elif message.topic == TOPICS.state:
            self.states.append(wire.decode(bytes(message.payload), StateMessage))
        elif message.topic == TOPICS.roster:
            self.rosters.append(wire.decode(bytes(message.payload), RosterMessage))
        self._arrived.put(None)

    def until(self, met: Callable[[Listener], bool], patience_s: float = PATIENCE_S) -> bool:
        """Wait until a condition on the messages holds; False if it never does."""
        end = time.monotonic() + patience_s
        while not met(self):
            left = end - time.monotonic()
            if left <= 0:
                return False
            try:
                self._arrived.get(timeout=min(left, 0.5))
            except queue.Empty:
                continue
        return True

    def settle(self) -> None:
        """Wait until the broker has handled and saved all that reached it before.

        It saves after each round of its loop: what came in before the first of these was handled
        in that round or earlier, and the second comes in a later one.
        """
        for _ in range(2):
            self._client.publish(f"{TOPICS.state}/settle", qos=1).wait_for_publish(PATIENCE_S)

    @property
    def status(self) -> str:
        """The newest state message; empty before the first."""
        return self.states[-1].status if self.states else ""

    def event_names(self) -> list[str]:
        return [event.event for event in self.events]

    def close(self) -> None:
        trial.leave(self._client)


def decided(count: int) -> Callable[[Listener], bool]:
    """A condition for `until`: so many decisions have come."""
    return lambda heard: len(heard.decisions) >= count


def wait_for_entries(door: Door, count: int) -> Journal:
    """Until the daemon has journaled so many decisions."""
    assert eventually(lambda: (door.state / "journal.db").exists() and door.running), door.log()
    journal = door.journal()
    assert eventually(lambda: len(journal.entries()) >= count), door.log()
    return journal


def assert_in_order(decisions: list[DecisionMessage], first: int) -> None:
    """Every one from the first on, in order; what came twice has the same id."""
    ids: dict[int, str] = {}
    for decision in decisions:
        if decision.seq in ids:
            assert ids[decision.seq] == decision.id
            continue
        assert decision.seq == first + len(ids), "a gap, or out of order"
        ids[decision.seq] = decision.id
    assert len(set(ids.values())) == len(ids)
