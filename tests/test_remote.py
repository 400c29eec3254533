"""What the newest head means for a door: its clock, who is stale, and the bundle to come."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from roster_operator import DIM, ENCODER, SITE, SITE_KEY, Operator
from roster_wire import FakeBroker

from edge import wire
from edge.adapters.roster_store import RosterStore
from edge.config import BundleChoice, Camera, Config, Device, Mqtt, Roster, State
from edge.core.access import Rights
from edge.core.calibration import Threshold
from edge.core.types import Floats
from edge.errors import ConfigError, StoreError
from edge.moment import WallClock
from edge.remote import Remote, enrolled, stored
from edge.state_dir import ROSTER
from edge.succession import Succession
from edge.wire import RosterMessage

NOW_S = 1_790_000_000.0
NEXT = "cd" * 32


class FakeObserver:
    """A gallery of names."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.stale = False
        self.tau = Threshold(0.4, 1, 0.01, 0.01, True)

    def change(
        self, put: Sequence[tuple[str, Floats | None, Rights]], removed: Sequence[str]
    ) -> None:
        self.names |= {subject for subject, _, _ in put}
        self.names -= set(removed)


class FakeReporter:
    link = None

    def __init__(self) -> None:
        self.events: list[str] = []

    def event(self, name: str, detail: str = "") -> None:
        self.events.append(f"{name}: {detail}")

    def threshold(self, tau: Threshold) -> None:
        """Not looked at."""


class Door:
    """A remote without models, camera and network; time is set by hand."""

    def __init__(self, folder: Path, operator: Operator, stale_after_s: float) -> None:
        (folder / "operators").mkdir()
        (folder / "operators" / "one.pub").write_text(operator.sealer.public.hex())
        key = folder / "site-key"
        key.write_text(SITE_KEY.hex())
        key.chmod(0o600)
        self.roster = Roster(
            operators=folder / "operators", site_key=key, stale_after_s=stale_after_s
        )
        self.config = Config(
            device=Device(site=SITE, id="door"),
            bundle=BundleChoice(path=folder),
            camera=Camera(url=""),
            state=State(path=folder / "state"),
            mqtt=Mqtt(host="none"),
            roster=self.roster,
        )
        self.wall_s, self.now_s = NOW_S, 0.0
        self.moment = WallClock("UTC", lambda: self.wall_s, lambda: self.now_s)
        self.reporter = FakeReporter()
        self.broker: FakeBroker | None = None
        self.start()

    def start(self) -> None:
        self.observer = FakeObserver()
        bundle = SimpleNamespace(encoder_id=ENCODER, dim=DIM)
        self.remote = Remote(
            self.config,
            self.roster,
            SimpleNamespace(bundle=bundle),
            self.observer,
            self.moment,
            None,
            self.reporter,
            lambda: self.wall_s,
            lambda: self.now_s,
        )
        box = SimpleNamespace(put=self.remote.inbox)
        if self.broker is None:
            self.broker = FakeBroker(box)
        else:
            self.broker.join(box)

    def turns(self, seconds: float = 0.0) -> None:
        """Time passes on both clocks, and the loop turns."""
        self.wall_s, self.now_s = self.wall_s + seconds, self.now_s + seconds
        for _ in range(5):
            self.remote.turn(self.broker)


@pytest.fixture
def operator() -> Operator:
    return Operator(wall=lambda: NOW_S)


@pytest.fixture
def door(tmp_path: Path, operator: Operator) -> Iterator[Door]:
    made = Door(tmp_path, operator, stale_after_s=100.0)
    yield made
    made.remote.close()


def test_a_head_that_is_too_old_makes_the_roster_stale_until_it_is_signed_anew(
    door: Door, operator: Operator
) -> None:
    assert door.observer.stale, "nobody ever confirmed it"
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    assert (door.observer.names, door.observer.stale) == ({"alice"}, False)
    door.turns(101.0)
    assert door.observer.stale
    operator._wall = lambda: door.wall_s
    door.broker.keep([operator.head()])
    door.turns()
    assert not door.observer.stale


def test_a_fresh_head_whose_records_are_kept_back_is_stale_in_the_end(
    door: Door, operator: Operator
) -> None:
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    # A day on which the head comes each minute, and the revocation never.
    operator.revoke("alice")
    tombstone = operator.topic_of("alice")
    door.broker.lost |= {tombstone, operator.topics.index(tombstone.split("/")[-2])}
    door.broker.deaf = True
    operator._wall = lambda: door.wall_s
    for _ in range(10):
        door.broker.keep(operator.everything())
        door.broker.replay(operator.topics.head)
        door.turns(20.0)
    assert door.observer.names == {"alice"}
    assert door.observer.stale


def test_the_clock_on_the_wall_is_never_earlier_than_the_head(
    door: Door, operator: Operator
) -> None:
    door.wall_s = 5.0
    assert door.moment().at_s == 5.0
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    assert door.moment().at_s == NOW_S


def test_the_bundle_to_come_is_due_when_the_operator_has_said_it_for_everybody(
    door: Door, operator: Operator
) -> None:
    succession = Succession(ENCODER, NEXT)
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    assert not door.remote.may_succeed(succession)
    record = operator.records["alice"]
    both = {**record.templates, NEXT: record.templates[ENCODER]}
    operator.enroll("alice", 1)
    operator.records["alice"] = type(record)("alice", operator.sequence, templates=both)
    door.broker.keep(operator.everything())
    door.turns()
    assert door.remote.may_succeed(succession)
    assert not door.remote.may_succeed(Succession())
    assert Counter(e for each in enrolled(door.config, None) for e in each) == {ENCODER: 1, NEXT: 1}


def test_what_is_stored_is_read_without_a_broker_and_needs_its_head(
    door: Door, operator: Operator
) -> None:
    operator.enroll("alice", 1)
    operator.enroll("bob", 2)
    operator.revoke("bob")
    assert list(stored(door.config)) == []
    door.broker.keep(operator.everything())
    door.turns()
    assert {s.record.subject: s.record.gone for s in stored(door.config)} == {
        "alice": False,
        "bob": True,
    }
    door.remote.close()
    door.start()
    assert door.observer.names == {"alice"}


def test_keys_that_others_may_read_are_refused(tmp_path: Path, operator: Operator) -> None:
    door = Door(tmp_path, operator, 0.0)
    door.remote.close()
    door.roster.site_key.chmod(0o640)
    with pytest.raises(ConfigError, match="others than its owner"):
        door.start()


@pytest.mark.parametrize("where", [0, 4096])
def test_a_damaged_file_is_replaced_and_the_roster_comes_from_the_broker(
    door: Door, operator: Operator, where: int
) -> None:
    """At its beginning it is no database; behind the first page it is found when it is read."""
    for number in range(40):
        operator.enroll(f"s{number}", number)
    door.broker.keep(operator.everything())
    door.turns()
    door.remote.close()
    path = door.config.state.path / ROSTER
    raw = bytearray(path.read_bytes())
    raw[where:] = b"x" * (len(raw) - where)
    path.write_bytes(raw)
    door.start()
    assert door.observer.names == set()
    for _ in range(5):
        door.turns()
    assert len(door.observer.names) == 40
    left = {p.name.removeprefix(ROSTER) for p in path.parent.glob(f"{ROSTER}*")}
    assert left <= {"", "-wal", "-shm"}, "no copy, for it would keep who is erased later"


def test_who_has_no_right_time_knows_no_age(door: Door, operator: Operator) -> None:
    """The cable and the power of a board without a battery are cut."""
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    assert not door.observer.stale
    door.wall_s = 5.0
    door.turns()
    assert door.observer.stale
    assert door.moment().at_s >= NOW_S
    door.remote.close()
    door.broker.connected = False
    door.start()
    door.turns(50.0)
    assert door.observer.stale
    door.wall_s = NOW_S + 50
    door.turns()
    assert not door.observer.stale, "the clock is right again, and the head young"


def test_a_store_that_can_not_be_written_lets_nobody_in_after_a_while(
    door: Door, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.enroll("alice", 1)
    operator.enroll("bob", 2)
    door.broker.keep(operator.everything())
    door.turns()

    def full(*_: object) -> None:
        raise StoreError("no space")

    with monkeypatch.context() as broken:
        broken.setattr(RosterStore, "apply", full)
        operator.enroll("alice", 1, groups=("cleaners",))
        door.broker.keep(operator.everything())
        door.turns()
        assert door.observer.names == {"bob"}, "what could not be stored may be what took"
        assert not door.observer.stale
        door.turns(11.0)
        assert door.observer.stale
    door.turns(6.0)
    door.turns(1.0)
    assert (door.observer.names, door.observer.stale) == ({"alice", "bob"}, False)


def test_damage_that_shows_when_it_is_written_is_mended_from_the_broker(
    door: Door, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()

    def malformed(*_: object) -> None:
        try:
            raise sqlite3.DatabaseError("database disk image is malformed")
        except sqlite3.DatabaseError as error:
            raise StoreError("roster.db: malformed") from error

    with monkeypatch.context() as broken:
        broken.setattr(RosterStore, "apply", malformed)
        operator.enroll("bob", 2)
        door.broker.keep(operator.everything())
        door.turns()
        assert door.observer.names == set()
    door.turns(6.0)
    door.turns(1.0)
    assert door.observer.names == {"alice", "bob"}


def test_what_the_stored_head_has_outdated_is_not_let_in_again(
    door: Door, operator: Operator
) -> None:
    """The head of a revocation was stored, and then neither power nor broker came back for long."""
    operator.enroll("alice", 1)
    operator.enroll("bob", 2)
    door.broker.keep(operator.everything())
    door.turns()
    operator.revoke("alice")
    topic = operator.topic_of("alice")
    index = operator.topics.index(topic.split("/")[-2])
    door.broker.deaf = True
    door.broker.keep(operator.everything())
    door.broker.lost |= {topic, index}
    door.broker.replay(operator.topics.head)
    door.turns()
    assert door.observer.names == {"alice", "bob"}, "nobody knows yet whom it is about"
    door.remote.close()
    door.broker.connected = False
    door.start()
    assert door.observer.names == {"bob"}
    assert list(enrolled(door.config, None)) == []


def test_an_erasure_is_confirmed_when_it_is_gone_from_the_disk(
    door: Door, operator: Operator
) -> None:
    operator.enroll("alice", 1)
    operator.enroll("bob", 2)
    door.broker.keep(operator.everything())
    door.turns()
    path = door.config.state.path / ROSTER
    alice = door.broker.kept[operator.topic_of("alice")]
    with contextlib.closing(sqlite3.connect(path)) as reader:
        rows = reader.execute("SELECT payload FROM record")
        rows.fetchone()
        door.broker.said.clear()
        door.broker.keep(operator.erase("alice"))
        door.turns(2.0)
        assert not any(m.complete and m.sequence == operator.sequence for m in said(door))
        rows.close()
    door.turns(2.0)
    assert said(door)[-1].complete
    assert all(alice not in p.read_bytes() for p in path.parent.glob(f"{ROSTER}*"))


def said(door: Door) -> list[RosterMessage]:
    return [wire.decode(payload, RosterMessage) for _, payload, _ in door.broker.said]
