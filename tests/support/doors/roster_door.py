"""A door without a camera, for tests: real client, replica, store, gallery and policy.

As a process of its own: `python -m tests.support.doors.roster_door FOLDER PORT DEVICE`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from ostiary.edge.adapters.mqtt.link import Link
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.core.rules import access, policy
from ostiary.edge.core.rules.access import Moment, Rights
from ostiary.edge.core.rules.evidence import Evidence
from ostiary.edge.core.rules.reading import Rules
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.types import Candidate, Decision, Floats, Reason
from ostiary.edge.remote.mailbox import Mailbox
from ostiary.edge.remote.members import Members
from ostiary.edge.remote.restore import Says
from ostiary.edge.remote.syncer import Syncer
from ostiary.edge.roster.record import shard_of, total
from ostiary.edge.roster.sealing import Opener, Sealer, Site
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import RosterTopics, Topics
from tests.support.roster.operator import DIM, ENCODER, SEED, SITE, SITE_KEY, Operator

TAU, TICK_S, PATIENCE_S = 0.5, 0.01, 60.0
RULES = Rules(votes=2, denials=2)
OPERATOR = Sealer(Site(SITE_KEY), SEED).public


class Searched:
    """A gallery and its subjects' rights and photos, as the observer holds them."""

    def __init__(self, dim: int = DIM) -> None:
        self.gallery, self.rights = Gallery(dim), dict[str, Rights]()
        self.photos: dict[str, int] = {}

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights, int]], removed: Sequence[str]
    ) -> None:
        # A subject in both is removed.
        left = [each for each in put if each[0] not in removed]
        without = [subject for subject, templates, *_ in left if templates is None]
        for subject in (*removed, *without):
            self.gallery.remove(subject)
            self.rights.pop(subject, None)
            self.photos.pop(subject, None)
        self.rights.update({subject: rights for subject, _, rights, _ in left})
        self.photos.update({s: photos for s, templates, _, photos in left if templates is not None})
        self.gallery.put_many((s, templates) for s, templates, *_ in left if templates is not None)


class Place:
    """The parts of a door that need no broker, in a temporary folder."""

    def __init__(
        self,
        folder: Path,
        says: Says,
        device: str = "north",
        operators: Iterable[bytes] = (OPERATOR,),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.topics = Topics(SITE, device)
        self.wall, self.searched = wall, Searched()
        roster = RosterTopics(SITE)
        self.mailbox = Mailbox(roster, Opener(Site(SITE_KEY), operators))
        self.store = RosterStore(folder / f"{device}.db")
        self.members = Members(self.searched, ENCODER, DIM)
        self.syncer = Syncer(
            roster, self.topics.roster, self.mailbox, self.store, self.members, says, wall
        )

    @property
    def gallery(self) -> Gallery:
        return self.searched.gallery

    def decide(self, seen: Floats) -> Decision:
        """The first decision on a face, by the real policy."""
        state, decision = policy.State(), None
        for frame in range(10):
            state, decision = policy.step(RULES, state, self._evidence(seen), frame / 15)
            if decision is not None:
                return decision
        raise AssertionError("no decision")

    def grants(self, seen: Floats, subject: str) -> bool:
        decision = self.decide(seen)
        return decision.granted and decision.subject == subject

    def _evidence(self, seen: Floats) -> Evidence:
        candidates = self.gallery.identify(seen)
        return Evidence(
            1, TAU, len(self.gallery), candidates=candidates, barred=self._barred(candidates)
        )

    def _barred(self, candidates: Sequence[Candidate]) -> Reason | None:
        if not candidates:
            return None
        now = datetime.fromtimestamp(self.wall(), timezone.utc)
        moment = Moment(self.wall(), now.weekday(), now.hour * 60 + now.minute)
        return access.barred(self.searched.rights[candidates[0].subject], (), moment)

    def held(self) -> dict[str, int]:
        """The records on the disk; also checks their digest."""
        rows = {row.subject: row.revision for row in self.store.rows()}
        assert self.store.digest() in ("", total(self.syncer.state.sums()))
        return rows

    def equals(self, operator: Operator) -> bool:
        """Whether the newest head here is the operator's."""
        head = self.syncer.state.head
        return (
            head is not None
            and head.sequence == operator.sequence
            and self.syncer.complete
            and total(self.syncer.state.sums()) == operator.digest
        )

    def check(self, operator: Operator) -> None:
        """Check that state, store and gallery equal the operator's registry, to the byte."""
        assert self.equals(operator)
        registry = {subject: record.revision for subject, record in operator.records.items()}
        state = self.syncer.state
        held = {s: r for name in state.shards for s, r in state.shard(name).held.items()}
        assert held == self.held() == registry
        enrolled = operator.enrolled
        assert self.gallery.subjects == sorted(enrolled)
        assert self.searched.rights == {s: record.rights() for s, record in enrolled.items()}
        for row in self.store.rows():
            self._check_stored(row.subject, row.payload, operator)

    def _check_stored(self, subject: str, payload: bytes, operator: Operator) -> None:
        opened = self.mailbox.open(operator.topics.subject(shard_of(subject), subject), payload)
        record = operator.records[subject]
        assert opened.record == record  # type: ignore[union-attr]
        if not record.gone:
            template = self.gallery._templates[list(self.gallery._rows[subject])]
            assert template.tobytes() == record.templates[ENCODER]


class Door(Place):
    """A door connected to a broker; `turn` is one turn of its loop."""

    def __init__(
        self,
        folder: Path,
        mqtt: MqttSection,
        device: str = "north",
        operators: Iterable[bytes] = (OPERATOR,),
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.events: list[tuple[str, str, str]] = []
        super().__init__(folder, lambda *said: self.events.append(said), device, operators, wall)
        state = self.topics.state
        self.link = Link(mqtt, device, state, lambda session: b"{}", inbox=self.mailbox.put)
        self.running = False

    def start(self) -> Door:
        self.link.start(1)
        self.running = True
        return self

    def turn(self) -> None:
        self.syncer.turn(self.link, time.monotonic())

    def said(self, event: str) -> list[str]:
        """The reasons with which an event was reported."""
        return [reason for name, reason, _ in self.events if name == event]

    def stop(self) -> None:
        if self.running:
            self.running = False
            self.link.stop(b"{}", 1.0)

    def close(self) -> None:
        self.stop()
        self.store.close()


def until(doors: Sequence[Door], met: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Run doors until a condition holds."""
    end = time.monotonic() + patience_s
    while not met():
        assert time.monotonic() < end, [(door.link.problem, door.events[-5:]) for door in doors]
        for door in doors:
            door.turn()
        time.sleep(TICK_S / max(1, len(doors)))


def main(folder: str, port: str, device: str) -> None:
    """Run until killed; print `applying` before each change of the store, `complete` at the end."""
    door = Door(Path(folder), MqttSection(host="127.0.0.1", port=int(port)), device)
    apply, complete, connections = door.store.apply, False, 0

    def spoken(*given: object) -> None:
        _say("applying")
        apply(*given)  # type: ignore[arg-type]

    door.store.apply = spoken  # type: ignore[method-assign,assignment]
    door.start()
    _say("started")
    while True:
        door.turn()
        if door.syncer.complete is not complete:
            complete = door.syncer.complete
            _say("complete" if complete else "behind")
        if door.link.connection != connections:
            connections = door.link.connection
            _say("connected")
        for event, reason, _ in door.events:
            _say(f"event {event} {reason}")
        door.events.clear()
        time.sleep(TICK_S)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
