"""A process with many light devices, each with its own connection, replica and gallery."""

from __future__ import annotations

import selectors
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from bench.roster.client import Client
from bench.roster.device import RosterDoor, opener
from bench.roster.operator import DIM, ENCODER, SITE
from ostiary.edge.adapters.mqtt.link import Received
from ostiary.edge.adapters.storage.roster_store import RosterRow, RosterStore
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.syncer import Syncer
from ostiary.edge.wire import RosterTopics, Topics

TURN_S = 0.25
"""Seconds between two turns of a device that receives nothing."""
LONGEST_S = 120.0


class SimulatedStart(msgspec.Struct, frozen=True, kw_only=True):
    """The names of the devices to simulate, and the sealed roster that all of them hold."""

    port: int
    names: list[str]
    head: bytes
    digest: str
    rows: list[tuple[str, int, bytes]]


class Expect(msgspec.Struct, frozen=True, kw_only=True):
    """What to wait for: each device holds this sequence, and no longer knows this subject."""

    sequence: int
    forgotten: str = ""


class Awaited(msgspec.Struct, frozen=True, kw_only=True):
    """The monotonic times at which each device got there, and the bytes since the last answer."""

    forgotten_s: list[float] = []
    held_s: list[float] = []
    bytes_in: int = 0
    bytes_out: int = 0
    processor_s: float = 0.0
    said: dict[str, int] = {}


class Memory(RosterStore):
    """A roster store in memory: one process has no room for a database per device."""

    def __init__(self, start: SimulatedStart) -> None:
        self.path = Path("memory")
        self._rows = {row[0]: RosterRow(*row) for row in start.rows}
        self._kept: tuple[bytes | None, str] = (start.head, start.digest)

    def apply(
        self, rows: Sequence[RosterRow], dropped: Sequence[str], head: bytes | None, digest: str
    ) -> None:
        for subject in dropped:
            self._rows.pop(subject, None)
        self._rows.update((row.subject, row) for row in rows)
        self._kept = (head or self._kept[0], digest)

    def clear(self) -> None:
        self._rows, self._kept = {}, (None, "")

    def scrub(self) -> bool:
        """There is nothing to scrub, because nothing is on a disk."""
        return True

    def head(self) -> bytes | None:
        return self._kept[0]

    def digest(self) -> str:
        return self._kept[1]

    def rows(self) -> Iterable[RosterRow]:
        return list(self._rows.values())


class LightDevice:
    """One simulated device."""

    def __init__(self, start: SimulatedStart, name: str, said: Counter[str]) -> None:
        self.door = RosterDoor()
        self.mailbox = Mailbox(RosterTopics(SITE), opener())
        self.syncer = Syncer(
            RosterTopics(SITE),
            Topics(SITE, name).roster,
            self.mailbox,
            Memory(start),
            Members(self.door, ENCODER, DIM),
            lambda event, reason, about: said.update([f"{event} {reason}"]),
            time.time,
        )
        self.client = Client(start.port, name, self._take)
        self.turned_s = 0.0

    def _take(self, received: Received) -> None:
        self.mailbox.put(received)

    def turn(self, now: float) -> None:
        self.turned_s = now
        self.syncer.turn(self.client, now)

    def holds(self, sequence: int) -> bool:
        """Whether the device is subscribed and holds the whole roster of this sequence."""
        head = self.syncer.state.head
        listens = self.client.granted > 0
        return listens and self.syncer.complete and head is not None and head.sequence == sequence


class SimulatedFleet:
    """All devices of this process, served in turn as their sockets have data."""

    def __init__(self, start: SimulatedStart) -> None:
        self.said: Counter[str] = Counter()
        self._sockets = selectors.DefaultSelector()
        self._devices = [LightDevice(start, name, self.said) for name in start.names]
        for device in self._devices:
            self._sockets.register(device.client, selectors.EVENT_READ, device)

    def reach(self, expect: Expect) -> Awaited:
        """Serve the devices until each one holds what is expected."""
        until = time.monotonic() + LONGEST_S
        before, processor = self._bytes(), time.process_time()
        # Keyed by the device's id().
        forgotten: dict[int, float] = {}
        held: dict[int, float] = {}
        last = 0.0
        while len(held) < len(self._devices):
            if time.monotonic() > until:
                raise SystemExit(f"{len(held)} of {len(self._devices)} devices: {self.said}")
            busy = [key.data for key, _ in self._sockets.select(TURN_S)]
            for device in busy:
                device.client.read()
                self._serve(device, expect, forgotten, held)
            if time.monotonic() - last > TURN_S:
                last = time.monotonic()
                for device in self._devices:
                    if last - device.turned_s > TURN_S:
                        self._serve(device, expect, forgotten, held)
        after = self._bytes()
        return Awaited(
            forgotten_s=list(forgotten.values()),
            held_s=list(held.values()),
            bytes_in=after[0] - before[0],
            bytes_out=after[1] - before[1],
            processor_s=time.process_time() - processor,
            said=dict(self.said),
        )

    def _serve(
        self,
        device: LightDevice,
        expect: Expect,
        forgotten: dict[int, float],
        held: dict[int, float],
    ) -> None:
        device.turn(time.monotonic())
        number = id(device)
        if number not in forgotten and expect.forgotten not in device.door.gallery:
            forgotten[number] = time.monotonic()
        if number not in held and device.holds(expect.sequence):
            held[number] = time.monotonic()

    def _bytes(self) -> tuple[int, int]:
        clients = [device.client for device in self._devices]
        return sum(c.bytes_in for c in clients), sum(c.bytes_out for c in clients)


def main() -> int:
    """Read JSON lines from stdin: a SimulatedStart, then any number of Expect, each answered."""
    lines = sys.stdin.buffer
    fleet = SimulatedFleet(msgspec.json.decode(lines.readline(), type=SimulatedStart))
    for line in lines:
        outcome = fleet.reach(msgspec.json.decode(line, type=Expect))
        sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
        sys.stdout.buffer.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
