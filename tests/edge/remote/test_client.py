"""The effect of the newest head on a door: its clock, a stale roster, and the next bundle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, cast

import pytest

from ostiary.edge.errors import ConfigError
from ostiary.edge.models.changeover import Changeover
from ostiary.edge.remote.stored import encoders, stored
from tests.support.doors.remote_door import NEXT, NOW_S, Door
from tests.support.roster.operator import ENCODER, Operator


def test_a_head_that_is_too_old_makes_the_roster_stale_until_it_is_signed_anew(
    door: Door, operator: Operator
) -> None:
    assert door.enrolled.stale, "nobody ever confirmed it"
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    assert (door.enrolled.names, door.enrolled.stale) == ({"alice"}, False)
    door.turns(101.0)
    assert door.enrolled.stale
    operator._wall = lambda: door.wall_s
    door.broker.keep([operator.head()])
    door.turns()
    assert not door.enrolled.stale


def test_a_fresh_head_whose_records_are_kept_back_is_stale_in_the_end(
    door: Door, operator: Operator
) -> None:
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    # For a day the head comes each minute, but the revocation never does.
    operator.revoke("alice")
    tombstone = operator.topic_of("alice")
    door.broker.lost |= {tombstone, operator.topics.index(tombstone.split("/")[-2])}
    door.broker.deaf = True
    operator._wall = lambda: door.wall_s
    for _ in range(10):
        door.broker.keep(operator.everything())
        door.broker.replay(operator.topics.head)
        door.turns(20.0)
    assert door.enrolled.names == {"alice"}
    assert door.enrolled.stale


def test_the_clock_on_the_wall_is_never_earlier_than_the_head(
    door: Door, operator: Operator
) -> None:
    door.wall_s = 5.0
    assert door.moment().at_s == 5.0
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    assert door.moment().at_s == NOW_S


def test_the_next_bundle_is_due_when_every_subject_has_a_template_for_it(
    door: Door, operator: Operator
) -> None:
    changeover = Changeover(ENCODER, NEXT)
    operator.enroll("alice", 1)
    door.broker.keep(operator.everything())
    door.turns()
    assert not door.remote.may_change_over(changeover)
    record = operator.records["alice"]
    both = {**record.templates, NEXT: record.templates[ENCODER]}
    operator.enroll("alice", 1)
    operator.records["alice"] = type(record)("alice", operator.sequence, templates=both)
    door.broker.keep(operator.everything())
    door.turns()
    assert door.remote.may_change_over(changeover)
    assert not door.remote.may_change_over(Changeover())
    found = encoders(door.config, cast(Any, None))  # a roster, so no store is asked
    assert Counter(e for each in found for e in each) == {ENCODER: 1, NEXT: 1}


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
    assert door.enrolled.names == {"alice"}


def test_keys_that_others_may_read_are_refused(tmp_path: Path, operator: Operator) -> None:
    door = Door(tmp_path, operator, 0.0)
    door.remote.close()
    door.roster.site_key.chmod(0o640)
    with pytest.raises(ConfigError, match="users other than its owner"):
        door.start()
