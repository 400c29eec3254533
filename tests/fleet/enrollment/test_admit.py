"""The look-alike guard, and enrolling people who are new, enrolled or revoked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.types import Floats
from ostiary.fleet.enrollment.admit import EnrollmentRules
from ostiary.fleet.enrollment.patch import PersonWish
from ostiary.fleet.errors import ChangedMeanwhile
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import Fleet
from tests.support.fakes import curve, unit
from tests.support.fleet.admitting import DIM, ENCODER, axis, enrolling, near, ready


def tau(k: int, fpir: float = 0.01) -> float:
    return threshold(curve(), fpir, k).tau


def test_a_look_alike_is_refused_by_name_unless_it_is_forced(fleet: Fleet) -> None:
    enrolling(fleet).admit([ready("alice", axis(0))])
    twin = ready("bob", near(0, tau(1) + 0.05), line=7)
    (refusal,) = enrolling(fleet).admit([twin]).refused
    assert (refusal.subject, refusal.reason, refusal.line) == ("bob", "look-alike", 7)
    assert "bob: this is a look-alike of alice: score" in refusal.message
    assert refusal.error().option == "force_look_alike"
    assert fleet.registry().people.get("bob") is None
    (enrolled,) = enrolling(fleet, EnrollmentRules(force=True)).admit([twin]).enrolled
    assert enrolled.look_alike is not None
    assert enrolled.look_alike.subject == "alice"
    assert fleet.registry().people.get("bob") is not None


def test_rows_of_one_table_are_compared_with_each_other(fleet: Fleet) -> None:
    outcome = enrolling(fleet).admit(
        [
            ready("a", axis(0), line=2),
            ready("b", axis(1), line=3),
            ready("c", near(0, 0.99), line=4),
        ]
    )
    assert [e.subject for e in outcome.enrolled] == ["a", "b"]
    (refusal,) = outcome.refused
    assert (refusal.subject, refusal.reason, refusal.line) == ("c", "duplicate", 4)
    assert "enrolled as a" in refusal.message


def test_the_guard_asks_for_no_more_of_the_first_line_than_of_the_last(fleet: Fleet) -> None:
    """tau rises with K: by the fleet so far, a look-alike in lines 2 and 3 of many would be
    refused that is let in at the end."""
    strangers = [
        ready(f"s-{n}", unit(np.random.default_rng(n).standard_normal(DIM))) for n in range(400)
    ]
    score = (tau(1) + tau(400)) / 2
    pair = [ready("first", axis(0)), ready("second", near(0, score))]
    outcome = enrolling(fleet).admit([*pair, *strangers])
    assert {"first", "second"} <= {e.subject for e in outcome.enrolled}


def test_templates_of_another_encoder_are_not_compared(fleet: Fleet) -> None:
    fleet.registry().put(Person(subject="alice"), {"f" * 64: Fused(axis(0))}, 1.0)
    assert enrolling(fleet).admit([ready("bob", axis(0))]).refused == []


def test_the_photos_of_a_template_are_recorded_and_told(fleet: Fleet) -> None:
    outcome = enrolling(fleet).admit(
        [
            ready("alice", axis(0)),
            ready("bob", axis(1), photos=4),
            ready("carol", axis(2), photos=0),
        ]
    )
    assert [(e.subject, e.photos) for e in outcome.enrolled] == [
        ("alice", 1),
        ("bob", 4),
        ("carol", 0),
    ]
    found = {p.subject: p.photos for p in fleet.registry().people.all()}
    assert found == {"alice": {ENCODER: 1}, "bob": {ENCODER: 4}, "carol": {}}


def test_who_is_enrolled_gets_the_new_template_and_keeps_what_is_not_named(fleet: Fleet) -> None:
    registry = fleet.registry()
    old = Person(subject="alice", name="Alice", groups=("staff",), valid_until_s=5e9)
    registry.put(old, {ENCODER: Fused(axis(0)), "f" * 64: Fused(axis(0))}, 1.0)
    registry.suspend("alice", 2.0)
    outcome = enrolling(fleet).admit([ready("alice", axis(1), PersonWish(groups=("cleaners",)))])
    assert outcome.enrolled[0].was_enrolled
    person = registry.people.get("alice")
    assert person is not None
    assert (person.name, person.groups, person.valid_until_s) == ("Alice", ("cleaners",), 5e9)
    assert person.suspended
    assert registry.roster.record("alice").templates == {ENCODER: axis(1).tobytes()}


def test_who_was_revoked_is_enrolled_only_again_and_starts_anew(fleet: Fleet) -> None:
    registry = fleet.registry()
    registry.put(
        Person(subject="alice", name="Alice", groups=("staff",)), {ENCODER: Fused(axis(0))}, 1.0
    )
    registry.suspend("alice", 2.0)
    registry.revoke("alice", 3.0)
    (refusal,) = enrolling(fleet).admit([ready("alice", axis(0))]).refused
    assert (refusal.reason, refusal.message) == ("revoked", "alice was revoked")
    assert refusal.option == "again"
    assert registry.roster.sequence == 3
    (enrolled,) = (
        enrolling(fleet, EnrollmentRules(again=True)).admit([ready("alice", axis(0))]).enrolled
    )
    assert (enrolled.revision, enrolled.was_enrolled) == (4, False)
    person = registry.people.get("alice")
    assert person is not None
    assert (person.name, person.groups, person.suspended, person.gone) == (
        "Alice",
        (),
        False,
        False,
    )


def test_until_before_a_from_of_earlier_is_refused_as_a_row(fleet: Fleet) -> None:
    fleet.registry().put(Person(subject="alice", valid_from_s=5e9), {ENCODER: Fused(axis(0))}, 1.0)
    wish = PersonWish(valid_until=(4e9,))
    (refusal,) = enrolling(fleet).admit([ready("alice", axis(0), wish, 9)]).refused
    assert (refusal.reason, refusal.line) == ("bad-row", 9)


class Racing(Registry):
    """A registry that another operator writes to just before each of the first writes here."""

    def __init__(self, path: Path, rivals: list[tuple[str, Floats]]) -> None:
        super().__init__(path)
        self.rivals = rivals
        self._other = Registry(path, who="rival")

    def put_many(self, items, now_s, seen=None):  # type: ignore[no-untyped-def]
        if self.rivals:
            subject, template = self.rivals.pop(0)
            self._other.put(Person(subject=subject), {ENCODER: Fused(template)}, now_s)
        return super().put_many(items, now_s, seen)

    def close(self) -> None:
        self._other.close()
        super().close()


def raced(fleet: Fleet, rivals: list[tuple[str, Floats]]) -> Racing:
    fleet.close()
    registry = Racing(fleet.folder / "registry.db", rivals)
    fleet._registry = registry
    return registry


def test_a_rival_who_was_faster_is_compared_with(fleet: Fleet) -> None:
    registry = raced(fleet, [("rival", axis(0))])
    (refusal,) = enrolling(fleet).admit([ready("bob", near(0, 0.99))]).refused
    assert "enrolled as rival" in refusal.message
    assert registry.roster.entries().keys() == {"rival"}


def test_rivals_who_never_stop_are_an_error_and_nothing_is_lost(fleet: Fleet) -> None:
    rivals = [(f"r-{n}", axis(n)) for n in range(9)]
    registry = raced(fleet, rivals)
    with pytest.raises(ChangedMeanwhile, match="nothing was written"):
        enrolling(fleet).admit([ready("bob", axis(12))])
    assert "bob" not in registry.roster.entries()
    assert all(subject.startswith("r-") for subject in registry.roster.entries())
