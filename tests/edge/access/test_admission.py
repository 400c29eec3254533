"""Enrolling at a lone door: look-alikes are refused by name, and then nothing is written."""

from pathlib import Path
from typing import cast

import pytest

from ostiary.edge.access.admission import admit
from ostiary.edge.adapters.storage.store import Store
from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.core.types import Floats, Template
from ostiary.edge.errors import EnrollmentRefused
from ostiary.edge.runtime.bundle import Bundle
from tests.support.fakes import curve
from tests.support.fleet.admitting import DIM, ENCODER, FakeBundle, axis, near

BUNDLE = cast(Bundle, FakeBundle())
FPIR = 0.01
TAU = threshold(curve(), FPIR, 1).tau


def template(subject: str, embedding: Floats, encoder: str = ENCODER) -> Template:
    return Template(subject, encoder, embedding, 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "s.db")
    admit(made, template("alice", axis(0)), BUNDLE, FPIR, 1.0)
    return made


def test_a_look_alike_is_refused_by_name_and_nothing_is_written(store: Store) -> None:
    twin = template("bob", near(0, TAU + 0.05))
    before = store.changed_s()
    with pytest.raises(
        EnrollmentRefused, match="bob: this is a look-alike of alice: score"
    ) as said:
        admit(store, twin, BUNDLE, FPIR, 2.0)
    assert (said.value.reason, said.value.option) == ("look-alike", "force_look_alike")
    assert [row.subject for row in store.subjects()] == ["alice"]
    assert store.changed_s() == before
    done = admit(store, twin, BUNDLE, FPIR, 3.0, force=True)
    assert done.look_alike is not None
    assert done.look_alike.subject == "alice"
    assert [row.subject for row in store.subjects()] == ["alice", "bob"]


def test_the_same_person_under_another_id_is_a_duplicate(store: Store) -> None:
    with pytest.raises(EnrollmentRefused, match="same person who is enrolled as alice") as said:
        admit(store, template("bob", near(0, 0.99)), BUNDLE, FPIR, 2.0)
    assert said.value.reason == "duplicate"


def test_a_new_photo_of_somebody_enrolled_is_no_look_alike(store: Store) -> None:
    again = near(0, 0.99)
    assert admit(store, template("alice", again), BUNDLE, FPIR, 2.0).look_alike is None
    ((_, rows, *_),) = store.templates(ENCODER, DIM)[0]
    assert (rows[0] == again).all()


def test_below_tau_is_nobodys_look_alike_and_the_profiles_fpir_counts(store: Store) -> None:
    between = near(0, TAU - 0.01)
    assert admit(store, template("bob", between), BUNDLE, FPIR, 2.0).look_alike is None
    store.remove("bob")
    with pytest.raises(EnrollmentRefused, match="look-alike of alice"):
        admit(store, template("bob", between), BUNDLE, 0.1, 3.0)


def test_people_whom_it_cannot_compare_are_counted(store: Store) -> None:
    for subject in ("carol", "dave"):
        store.put(template(subject, axis(1), "f" * 64), 1.0)
    # Too short: a damaged template.
    store.put(template("erin", axis(2)[:3]), 1.0)
    done = admit(store, template("carol", axis(1)), BUNDLE, FPIR, 2.0)
    assert done.not_compared == 2
