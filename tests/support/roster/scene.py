"""A door, its broker and an operator, without a network; the test moves the time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from ostiary.edge.errors import StoreError
from tests.support.doors.roster_door import Place
from tests.support.roster.operator import ENCODER, Operator, Said, face
from tests.support.roster.wire import FakeBroker

NOW_S, TURN_S = 1_800_000_000.0, 0.1


class Scene:
    """A door, its broker and an operator; the test moves the time."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 0.0
        self.operator = Operator(wall=self.wall)
        self.events: list[tuple[str, str, str]] = []
        self.door = self._door()
        self.broker = FakeBroker(self.door.mailbox)

    def _door(self, **more: object) -> Place:
        def says(*said: str) -> None:
            self.events.append(said)  # type: ignore[arg-type]

        return Place(self.folder, says, wall=self.wall, **more)  # type: ignore[arg-type]

    def wall(self) -> float:
        return NOW_S + self.now

    def live(self, seconds: float = 3.0) -> None:
        for _ in range(round(seconds / TURN_S)):
            self.now += TURN_S
            self.door.syncer.turn(self.broker, self.now)

    def restart(self, **more: object) -> None:
        self.door.store.close()
        self.door = self._door(**more)
        self.broker.join(self.door.mailbox)

    def enroll(self, *subjects: str) -> None:
        for subject in subjects:
            self.operator.enroll(subject, len(self.operator.records))
        self.broker.keep(list(self.operator.changes(subjects)))

    def revoke(self, subject: str) -> list[Said]:
        """What the operator would publish now."""
        self.operator.revoke(subject)
        return list(self.operator.changes([subject]))

    def grants(self, subject: str) -> bool:
        template = self.operator.records[subject].templates[ENCODER]
        persons = (p for p in range(1000) if face(p).tobytes() == template)
        return self.door.grants(face(next(persons)), subject)

    def reasons(self, event: str = "roster-refused") -> list[str]:
        return [reason for name, reason, _ in self.events if name == event]

    def check(self) -> None:
        self.door.check(self.operator)

    def fail_store(self, failing: Callable[[], bool]) -> None:
        apply = self.door.store.apply

        def maybe(*given: object) -> None:
            if failing():
                raise StoreError("disk full")
            apply(*given)  # type: ignore[arg-type]

        self.door.store.apply = maybe  # type: ignore[method-assign,assignment]

    def damage(self, change: str) -> None:
        """Change the stored file, as another process might."""
        with sqlite3.connect(self.door.store.path) as database:
            database.execute(change)
        database.close()
