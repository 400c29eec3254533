"""Measure a new device, a restarted one and a reconnected one: seconds, memory and bytes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.roster.device import Order, Reached
from bench.roster.operator import ROOT, Counted, Operator, publish
from bench.roster.proxy import Proxy
from bench.roster.table import Figure

PROBES, CHANGED = 50, 10
CAMERA_S = 1 / 15
"""Seconds between two turns of a daemon's loop with a camera of 15 frames a second."""
REST_S = 1.0
SYNC_S, LARGE_S, LARGE = 5.0, 60.0, 100_000
MEMORY_MB = 400.0
UNCHANGED_KB, CHANGED_KB = 20.0, 200.0

Told = Callable[[str], None]


@dataclass(slots=True)
class _Scene:
    """A broker with a roster, and a proxy through which devices follow it."""

    folder: Path
    broker: Counted
    subjects: int
    proxy: Proxy
    operator: Operator = field(default_factory=Operator)

    def device(
        self, name: str, turn_s: float = 0.0, rest_s: float = 0.0, cut: bool = False
    ) -> Reached:
        """Let a device process follow the operator's roster; a store of that name is used again."""
        step = max(1, self.subjects // PROBES)
        order = Order(
            folder=str(self.folder),
            name=name,
            port=self.proxy.port,
            sequence=self.operator.sequence,
            digest=self.operator.digest,
            probes=list(range(CHANGED * 2, self.subjects, step)),
            turn_s=turn_s,
            rest_s=rest_s,
            cut=cut,
        )
        self.proxy.start_over()
        done = subprocess.run(
            [sys.executable, "-m", "bench.roster.device"],
            input=msgspec.json.encode(order),
            stdout=subprocess.PIPE,
            check=True,
            cwd=ROOT,
        )
        return msgspec.json.decode(done.stdout, type=Reached)

    @property
    def kilobytes(self) -> float:
        """What the last device moved in both directions: MQTT's own bytes, without TCP's."""
        return self.proxy.both / 1000


def measure(folder: Path, subjects: int, parts: tuple[str, ...], told: Told) -> list[Figure]:
    """The figures of the parts `sync` and `reconnect` for a roster of this many subjects."""
    folder.mkdir(parents=True)
    with Counted(folder / "broker") as broker, Proxy(broker.port) as proxy:
        scene = _Scene(folder, broker, subjects, proxy)
        told(f"publishing {subjects:,} subjects")
        empty_mb = broker.memory_mb
        publish(broker.port, scene.operator.enroll(range(subjects)))
        rows: list[Figure] = []
        if "sync" in parts:
            rows += _sync(scene, told)
            held = (broker.memory_mb - empty_mb) * (1 << 20) / subjects
            rows.append(Figure(f"sync, {subjects:,}", "broker's memory a subject", held, "B"))
        if "reconnect" in parts:
            rows += _reconnect(scene, told)
    return rows


def _sync(scene: _Scene, told: Told) -> Iterator[Figure]:
    name = f"sync, {scene.subjects:,}"
    told(f"a new device, {scene.subjects:,} subjects")
    new = scene.device("new")
    most_s = LARGE_S if scene.subjects >= LARGE else SYNC_S
    yield Figure(name, "new device, complete and granting", new.seconds, "s", most_s)
    yield Figure(
        name, "each probe granted, a stranger not", float(new.granting), "", good=new.granting
    )
    yield Figure(name, "processor of the device", new.processor_s, "s")
    yield Figure(name, "bytes a subject on the wire", scene.kilobytes * 1000 / scene.subjects, "B")
    yield Figure(name, "device's memory, highest", new.memory_mb, "MB", MEMORY_MB)
    yield Figure(name, "of it before the roster", new.before_mb, "MB")
    told("a new device at a camera's pace")
    paced = scene.device("paced", turn_s=CAMERA_S)
    yield Figure(name, "new device at 15 turns a second", paced.seconds, "s", most_s)
    yield Figure(name, "of it a turn of the loop, p99", paced.turn_p99_ms, "ms")
    yield Figure(name, "the longest turn", paced.turn_worst_ms, "ms")
    told("the same device started again")
    again = scene.device("new")
    good = again.granting and again.restored == scene.subjects
    yield Figure(name, "started again: store read and checked", again.restored_s, "s")
    yield Figure(name, "started again: complete and granting", again.seconds, "s", good=good)
    yield Figure(name, "started again: memory, highest", again.memory_mb, "MB", MEMORY_MB)
    quiet = not (new.said or paced.said or again.said)
    yield Figure(name, "nothing was refused", float(quiet), "", good=quiet)


def _reconnect(scene: _Scene, told: Told) -> Iterator[Figure]:
    name = f"reconnect, {scene.subjects:,}"
    told("reconnecting")
    scene.device("back", rest_s=REST_S)

    def back(what: str, most_kb: float) -> Figure:
        scene.device("back", rest_s=REST_S)
        return Figure(name, what, scene.kilobytes, "kB", most_kb)

    scene.device("back", rest_s=REST_S, cut=True)
    yield Figure(name, "wire cut, nothing changed", scene.proxy.last / 1000, "kB", UNCHANGED_KB)
    yield back("started again, nothing changed", UNCHANGED_KB)
    publish(scene.broker.port, scene.operator.enroll(range(CHANGED)))
    yield back("started again, 10 changed at once", CHANGED_KB)
    for number in range(CHANGED):
        publish(scene.broker.port, scene.operator.enroll([number]))
    yield back("started again, 10 changed one by one", CHANGED_KB)
