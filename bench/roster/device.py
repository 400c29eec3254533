"""One device as a process: real link, replica, store and gallery; embeddings replace its camera."""

from __future__ import annotations

import logging
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.roster.operator import (
    DIM,
    ENCODER,
    SEED,
    SITE,
    SITE_KEY,
    connection,
    memory_mb,
    name_of,
    probe,
    template,
)
from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.core.rules import access, policy
from ostiary.edge.core.rules.access import Moment, Rights, SharedRights
from ostiary.edge.core.rules.evidence import Evidence
from ostiary.edge.core.rules.policy import State
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.types import Floats
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.syncer import Syncer
from ostiary.edge.roster.sealing import Opener, Sealer, Site
from ostiary.edge.wire import RosterTopics, Topics

TAU = 0.6
NOW = Moment(at_s=1.8e9, weekday=2, minute=600)
LONGEST_S = 300.0
STRANGER = 10**9
"""Number of a person who is never enrolled."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The roster that a device must reach, and the subjects it must then grant. `turn_s` is the
    pause between two turns of the loop. `cut` breaks the connection at the end and waits for
    the next one."""

    folder: str
    name: str
    port: int
    sequence: int
    digest: str
    probes: list[int]
    turn_s: float = 0.0
    rest_s: float = 0.0
    cut: bool = False


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """How long a device took to carry out its order, and what that cost. `restored_s` is the part
    spent reading the store. `granting` is true if every probe was granted and a stranger denied.
    `turn_p99_ms` and `turn_worst_ms` time the loop's turns, during which a frame would wait."""

    seconds: float
    restored_s: float
    restored: int
    subjects: int
    granting: bool
    processor_s: float
    turn_p99_ms: float
    turn_worst_ms: float
    memory_mb: float
    before_mb: float
    said: dict[str, int]


class RosterDoor:
    """A gallery with rights that decides by the real policy: an observer without a camera."""

    def __init__(self, dim: int = DIM) -> None:
        self.gallery = Gallery(dim)
        self._rights: dict[str, Rights] = {}
        self._kinds = SharedRights()

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights, int]], removed: Sequence[str]
    ) -> None:
        for subject in removed:
            self._rights.pop(subject, None)
            self.gallery.remove(subject)
        self._rights.update({s: self._kinds.one(rights) for s, _, rights, _ in put})
        self.gallery.put_many((s, t) for s, t, *_ in put if t is not None)

    def granted(self, embedding: Floats) -> str | None:
        """The subject granted to this embedding after as many frames as policy needs, or None."""
        candidates = self.gallery.identify(embedding)
        barred = None
        if candidates:
            barred = access.barred(self._rights[candidates[0].subject], (), NOW)
        seen = Evidence(1, TAU, len(self.gallery), candidates=candidates, barred=barred)
        rules, state = Rules(), State()
        for frame in range(rules.votes):
            state, decision = policy.step(rules, state, seen, float(frame))
        return decision.subject if decision is not None and decision.granted else None

    def grants(self, numbers: Sequence[int]) -> bool:
        """Whether each number is granted as itself, and a stranger is denied."""
        everybody = all(self.granted(probe(n)) == name_of(n) for n in numbers)
        return everybody and self.granted(template(STRANGER)) is None


def opener() -> Opener:
    site = Site(SITE_KEY)
    return Opener(site, [Sealer(site, SEED).public])


def reach(order: Order) -> Reached:
    """Start from the folder's store and follow the broker until the order is carried out."""
    before_mb = memory_mb("self")["VmRSS"]
    said: Counter[str] = Counter()
    began, processor = time.monotonic(), time.process_time()
    topics, mailbox, door = (
        Topics(SITE, order.name),
        Mailbox(RosterTopics(SITE), opener()),
        RosterDoor(),
    )
    syncer = Syncer(
        RosterTopics(SITE),
        topics.roster,
        mailbox,
        RosterStore(Path(order.folder) / f"{order.name}.db"),
        Members(door, ENCODER, DIM),
        lambda event, reason, about: said.update([f"{event} {reason}"]),
        time.time,
    )
    restored_s, restored = time.monotonic() - began, len(syncer.state)
    settings = connection(order.port)
    link = Link(settings, order.name, topics.state, lambda _: b"{}", inbox=mailbox.put)
    link.start(0)
    turns = []
    while not (link.connected and _holds(syncer, order)):
        if time.monotonic() - began > LONGEST_S:
            raise SystemExit(f"not complete in {LONGEST_S:.0f} s: {syncer.message(complete=False)}")
        turned = time.perf_counter()
        syncer.turn(link, time.monotonic())
        turns.append((time.perf_counter() - turned) * 1e3)
        time.sleep(order.turn_s or 1e-3)
    granting = door.grants(order.probes)
    seconds = time.monotonic() - began
    processor_s = time.process_time() - processor
    _rest(syncer, link, order)
    if order.cut:
        before = link.connection
        wire: Any = link._client.socket()
        assert wire is not None
        wire.shutdown(socket.SHUT_RDWR)
        while link.connection == before:
            time.sleep(1e-2)
        _rest(syncer, link, order)
        assert link.kept
    link.stop(b"{}", 5.0)
    return Reached(
        seconds=seconds,
        restored_s=restored_s,
        restored=restored,
        subjects=len(door.gallery),
        granting=granting,
        processor_s=processor_s,
        turn_p99_ms=float(np.percentile(turns or [0.0], 99)),
        turn_worst_ms=max(turns, default=0.0),
        memory_mb=memory_mb("self")["VmHWM"],
        before_mb=before_mb,
        said=dict(said),
    )


def _rest(syncer: Syncer, link: Link, order: Order) -> None:
    """Keep running, so that late messages and the acknowledgement are counted too."""
    until = time.monotonic() + order.rest_s
    while time.monotonic() < until:
        syncer.turn(link, time.monotonic())
        time.sleep(order.turn_s or 1e-2)


def _holds(syncer: Syncer, order: Order) -> bool:
    """Whether the device is complete at the ordered sequence, and its stored digest agrees."""
    state = syncer.state
    if not syncer.complete or state.head is None or state.head.sequence != order.sequence:
        return False
    return syncer.message(complete=True).digest == order.digest


def main() -> int:
    """Carry out the JSON order from stdin, and write a JSON Reached to stdout."""
    # paho logs its own disconnect as an error.
    logging.disable(logging.ERROR)
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(reach(order)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
