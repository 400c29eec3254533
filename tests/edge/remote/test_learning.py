"""A door of a fleet whose templates learn: the operator's word and the profile's reach them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest
import typer.testing

from ostiary.edge.__main__ import app
from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.adapters.storage.roster_store import RosterStore
from ostiary.edge.adapters.storage.state_dir import ROSTER
from ostiary.edge.core.types import Floats, Probe
from ostiary.edge.remote.stored import load
from ostiary.edge.roster.record import Record
from ostiary.edge.sections import LearningSection, PadSection
from tests.edge.remote.test_photos import PROFILE
from tests.support.doors.remote_door import Door
from tests.support.fakes import curves
from tests.support.roster.operator import DIM, ENCODER, Operator, face

DAY_S = 86400.0
LEARNS = "[pad]\nrequired = true\n[learning]\nenabled = true\n"


def later(person: int) -> Floats:
    """The face of a person years later: a score of about .8 to the enrolled one."""
    own, aside = face(person), face(1000 + person)
    aside = aside - (aside @ own) * own
    found = 0.8 * own + 0.6 * aside / np.linalg.norm(aside)
    return np.asarray(found / np.linalg.norm(found), np.float32)


class LearningDoor(Door):
    """A door with a real gallery; `on` is the profile's option."""

    on = True

    def new_enrolled(self) -> Any:
        self.config = msgspec.structs.replace(
            self.config, pad=PadSection(required=True), learning=LearningSection(enabled=self.on)
        )
        return Enrolled(DIM, curves(), self.config, self.moment)

    def grant(self, subject: str, seen: Floats) -> None:
        """A sure grant a day after the one before."""
        self.turns(DAY_S)
        assert self.remote.learning is not None
        self.remote.learning.learn(subject, Probe(seen, 8))

    def again(self, on: bool = True) -> None:
        self.remote.close()
        self.on = on
        self.start()

    @property
    def learners(self) -> set[str]:
        """Whose samples are on the disk."""
        store = RosterStore(self.config.state.path / ROSTER)
        found = store.learners()
        store.close()
        return found

    def score(self, person: int) -> float:
        """How near the face of a person, years later, is to who is enrolled."""
        return float(self.enrolled.gallery.identify(later(person))[0].score)


@pytest.fixture
def door(tmp_path: Path, operator: Operator) -> Iterator[LearningDoor]:
    operator.enroll("alice", 1, photos={ENCODER: 1}, learns=True)
    operator.enroll("bob", 2, photos={ENCODER: 1})
    made = LearningDoor(tmp_path, operator, stale_after_s=0.0)
    made.broker.keep(operator.everything())
    made.turns()
    yield made
    made.remote.close()


@pytest.fixture
def profile(door: LearningDoor, tmp_path: Path) -> Path:
    """The profile of a door at which alice's template has learned."""
    door.grant("alice", later(1))
    path = tmp_path / "door.toml"
    path.write_text(PROFILE + LEARNS)
    return path


def change(door: LearningDoor, operator: Operator, record: Record) -> None:
    operator.put(record)
    door.broker.keep(operator.everything())
    door.turns()


def test_a_template_learns_if_its_person_consented(door: LearningDoor) -> None:
    door.grant("alice", later(1))
    door.grant("bob", later(2))
    assert door.learners == {"alice"}
    assert door.score(1) > 0.94 > 0.85 > door.score(2)
    assert door.reporter.state["learned"] == 1
    assert [event[:36] for event in door.reporter.events] == [
        "template-learned: alice: 1 sample, 0"
    ]


def test_what_was_learned_is_there_after_a_restart_without_a_broker(door: LearningDoor) -> None:
    door.grant("alice", later(1))
    door.again()
    assert door.score(1) > 0.94
    assert door.reporter.state["learned"] == 1


@pytest.mark.parametrize(
    "fields", [{"learns": False}, {"suspended": True}, {"groups": ("staff",)}, {"photos": {}}]
)
def test_a_new_revision_takes_it_back_at_once(
    door: LearningDoor, operator: Operator, fields: dict[str, Any]
) -> None:
    door.grant("alice", later(1))
    record = operator.records["alice"]
    change(door, operator, msgspec.structs.replace(record, **fields))
    assert door.score(1) < 0.85
    assert (door.learners, door.reporter.state["learned"]) == (set(), 0)


def test_revoking_takes_it_back(door: LearningDoor, operator: Operator) -> None:
    door.grant("alice", later(1))
    operator.revoke("alice")
    door.broker.keep(operator.everything())
    door.turns()
    assert (door.learners, "alice" in door.enrolled.gallery) == (set(), False)


def test_consent_that_comes_later_counts_from_then_on(
    door: LearningDoor, operator: Operator
) -> None:
    change(door, operator, msgspec.structs.replace(operator.records["bob"], learns=True))
    door.grant("bob", later(2))
    assert door.learners == {"bob"}


def test_the_option_turned_off_forgets_for_good(door: LearningDoor) -> None:
    door.grant("alice", later(1))
    door.again(on=False)
    assert door.remote.learning is None
    assert (door.learners, door.score(1) < 0.85) == (set(), True)
    door.again(on=True)
    assert door.score(1) < 0.85


def test_the_offline_commands_search_what_the_door_searches(
    profile: Path, door: LearningDoor
) -> None:
    assert profile.exists()
    bundle = cast(Any, SimpleNamespace(encoder_id=ENCODER, dim=DIM))
    for on, nearer in ((True, True), (False, False)):
        learning = LearningSection(enabled=on)
        config = msgspec.structs.replace(door.config, learning=learning)
        enrolled = Enrolled(DIM, curves(), config)
        load(config, enrolled, bundle)
        assert (enrolled.gallery.identify(later(1))[0].score > 0.94) == nearer


def run(*arguments: object) -> Any:
    return typer.testing.CliRunner().invoke(app, [str(one) for one in arguments])


def test_the_door_lists_what_was_learned_and_since_when(profile: Path, door: LearningDoor) -> None:
    door.grant("alice", later(1))
    rows = json.loads(run("subjects", "--config", profile, "--json").output)
    assert [(row["subject"], row["learned"], row["learned_since"]) for row in rows] == [
        ("alice", 2, "2026-09-22T14:13:20.000Z"),
        ("bob", 0, None),
    ]
    assert "2 since 2026-09-22T14:13:20.000Z" in run("subjects", "--config", profile).output


@pytest.mark.parametrize("which", [("alice",), ("--all",)])
def test_unlearn_takes_it_back_from_a_running_door(
    profile: Path, door: LearningDoor, which: tuple[str, ...]
) -> None:
    said = run("unlearn", "--config", profile, *which, "--json")
    assert (said.exit_code, json.loads(said.output)) == (0, {"unlearned": 1})
    door.turns()
    assert door.score(1) < 0.85
    assert (door.learners, door.reporter.state["learned"]) == (set(), 0)
    door.grant("alice", later(1))
    assert door.learners == {"alice"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected one subject, or all"),
        (("alice", "--all"), "expected one subject, or all"),
        (("bob",), "bob has learned nothing here"),
    ],
)
def test_unlearn_says_what_is_wrong(
    profile: Path, door: LearningDoor, arguments: tuple[str, ...], message: str
) -> None:
    said = run("unlearn", "--config", profile, *arguments)
    assert message in str(said.exception)
    assert door.learners == {"alice"}


def test_unlearn_needs_a_roster(tmp_path: Path) -> None:
    profile = tmp_path / "alone.toml"
    profile.write_text(PROFILE.partition("[mqtt]")[0])
    assert "follows no roster" in str(run("unlearn", "--config", profile, "--all").exception)
