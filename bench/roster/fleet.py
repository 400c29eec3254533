"""Revoke a subject at many light devices: seconds until all follow, and the cost per device."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from types import TracebackType

import msgspec

from bench.roster.client import Client
from bench.roster.many_devices import Awaited, Expect, SimulatedStart
from bench.roster.operator import ROOT, SITE, Counted, Operator, connection, name_of
from bench.roster.table import Figure
from ostiary.edge.adapters.mqtt.link import Filter, Received
from ostiary.edge.roster.record import shard_of
from ostiary.edge.wire import PREFIX, RosterMessage, decode
from ostiary.fleet.broker.session import Broker, Retained

PROCESSES = 2
CONVERGED_S = 5.0
PATIENCE_S = 120.0

Told = Callable[[str], None]


class Crowd:
    """Processes that each run many light devices."""

    def __init__(
        self, port: int, operator: Operator, seed: Sequence[Retained], devices: int
    ) -> None:
        names = [f"light-{number:05d}" for number in range(devices)]
        self._workers = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.roster.many_devices"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )
            for _ in range(min(PROCESSES, devices))
        ]
        for number, worker in enumerate(self._workers):
            share = names[number :: len(self._workers)]
            _write(worker, _start(port, share, operator, seed))

    def expect(self, expect: Expect) -> None:
        """Tell every process what to wait for; `outcomes` returns what happened."""
        for worker in self._workers:
            _write(worker, expect)

    def outcomes(self) -> list[Awaited]:
        found = []
        for worker in self._workers:
            assert worker.stdout is not None
            line = worker.stdout.readline()
            if not line:
                raise SystemExit("the light devices have ended")
            found.append(msgspec.json.decode(line, type=Awaited))
        return found

    def __enter__(self) -> Crowd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            if kind is not None:
                worker.kill()
            # Closes the pipes and waits: at the end of its input a worker ends.
            worker.__exit__(kind, error, trace)


class Listener:
    """Reads the devices' acknowledgements as an operator's `status` would."""

    def __init__(self, port: int) -> None:
        self._last: dict[str, int] = {}
        self._client = Client(port, "listener", self._take, clean=True)
        self._client.wait_connected()
        every = f"{PREFIX}/{SITE}/device/+/roster"
        self._client.subscribe([Filter(every, qos=0)])

    def _take(self, received: Received) -> None:
        message = decode(received.payload, RosterMessage)
        if message.complete:
            self._last[received.topic] = message.sequence

    def wait(self, devices: int, sequence: int) -> None:
        """Wait until this many devices report the sequence as complete."""
        while sum(held == sequence for held in self._last.values()) < devices:
            self._client.read()

    def close(self) -> None:
        self._client.close()


def measure(
    folder: Path, sizes: Sequence[int], subjects: int, changes: int, told: Told
) -> list[Figure]:
    """The figures for each number of devices; the largest fleet has a time limit."""
    rows: list[Figure] = []
    for devices in sizes:
        told(f"{devices:,} devices")
        most_s = CONVERGED_S if devices == max(sizes) else None
        where = folder / str(devices)
        with Counted(where) as broker:
            rows += _revocations(broker, devices, subjects, changes, most_s)
    return rows


def _revocations(
    broker: Counted, devices: int, subjects: int, changes: int, most_s: float | None
) -> list[Figure]:
    operator = Operator()
    seed = list(operator.enroll(range(subjects)))
    settings = connection(broker.port)
    rounds: list[_Round] = []
    with Broker(settings) as voice, Crowd(broker.port, operator, seed, devices) as crowd:
        voice.publish(seed)
        before_mb = broker.memory_mb
        crowd.expect(Expect(sequence=operator.sequence))
        crowd.outcomes()
        held = (broker.memory_mb - before_mb) * 1024 / devices
        listener = Listener(broker.port)
        listener.wait(devices, operator.sequence)
        for number in range(changes):
            rounds.append(_Round(broker, operator, voice, crowd, listener, devices, number))
        listener.close()
    name = f"fleet, {devices:,} devices"

    def middle(what: str) -> float:
        return float(median(getattr(each, what) for each in rounds))

    said = [text for r in rounds for text in r.said]
    return [
        Figure(
            name,
            "revoked everywhere, slowest round",
            max(r.gone_s for r in rounds),
            "s",
            most_s,
        ),
        Figure(
            name,
            "all complete and heard by the operator",
            max(r.heard_s for r in rounds),
            "s",
            most_s,
        ),
        Figure(name, "the same, median of the rounds", middle("heard_s"), "s"),
        Figure(
            name, "broker's processor a device and change", middle("broker_s") * 1e6 / devices, "us"
        ),
        Figure(name, "device's processor a change", middle("devices_s") * 1e6 / devices, "us"),
        Figure(name, "bytes to a device a change", middle("down") / devices, "B"),
        Figure(name, "bytes from a device a change", middle("up") / devices, "B"),
        Figure(name, "broker's memory a device", held, "kB"),
        Figure(name, "nothing was refused", float(not said), "", good=not said),
    ]


class _Round:
    """One revocation, timed from before it is signed."""

    def __init__(
        self,
        broker: Counted,
        operator: Operator,
        voice: Broker,
        crowd: Crowd,
        listener: Listener,
        devices: int,
        number: int,
    ) -> None:
        crowd.expect(Expect(sequence=operator.sequence + 1, forgotten=name_of(number)))
        spent_s, began = broker.cpu_s, time.monotonic()
        voice.publish(operator.revoke(number))
        listener.wait(devices, operator.sequence)
        self.heard_s = time.monotonic() - began
        outcomes = crowd.outcomes()
        self.broker_s = broker.cpu_s - spent_s
        self.gone_s = max(s for o in outcomes for s in o.forgotten_s) - began
        self.down = sum(o.bytes_in for o in outcomes)
        self.up = sum(o.bytes_out for o in outcomes)
        self.devices_s = sum(o.processor_s for o in outcomes)
        self.said = [text for o in outcomes for text in o.said]


def _start(
    port: int, names: list[str], operator: Operator, seed: Sequence[Retained]
) -> SimulatedStart:
    """The roster that devices hold from the start, as if they had stored it before."""
    rows: list[tuple[str, int, bytes]] = []
    for message in seed:
        parts = operator.topics.parse(message.topic)
        assert parts is not None
        if parts[0] == "subject":
            assert parts[1] == shard_of(parts[2])
            rows.append((parts[2], len(rows) + 1, message.payload))
    return SimulatedStart(
        port=port, names=names, head=seed[-1].payload, digest=operator.digest, rows=rows
    )


def _write(worker: subprocess.Popen[bytes], body: SimulatedStart | Expect) -> None:
    assert worker.stdin is not None
    worker.stdin.write(_line(body))
    worker.stdin.flush()


def _line(body: msgspec.Struct) -> bytes:
    return msgspec.json.encode(body) + b"\n"
