"""Templates for a new encoder: from kept photos, equal to those that enrolling makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.types import Image
from ostiary.edge.errors import StoreError
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.batch import each_photo
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.fleet.enrollment import reembed
from ostiary.fleet.enrollment.reembed import ReembedReport
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.people import OLD, template
from tests.support.fleet.reembed_desk import GREY, NOW_S, PORTRAIT, Desk


@pytest.fixture
def desk(fleet: Fleet, bundle: Bundle) -> Desk:
    return Desk(fleet, bundle)


def test_everybody_gets_the_template_that_enrolling_would_give(
    desk: Desk, pipeline: Pipeline, portrait: Image
) -> None:
    desk.enroll("alice", PORTRAIT, PORTRAIT)
    desk.enroll("bob", PORTRAIT)
    before = desk.registry.roster.entries()
    report = desk.run()
    assert report == ReembedReport(desk.encoder, 2, 2, 2, (), {})
    assert report.complete
    assert desk.steps == [(1, 2), (2, 2)]
    wanted = enroll(pipeline, "bob", [("it", portrait)], Limits()).embedding
    for subject, made in desk.registry.people.templates(desk.encoder):
        np.testing.assert_allclose(made[0], wanted, atol=1e-5)
        assert desk.registry.roster.entries()[subject] > before[subject]
    record = desk.registry.roster.record("alice")
    assert set(record.templates) == {OLD, desk.encoder}
    assert record.photos == {desk.encoder: 2}
    assert desk.registry.roster.record("bob").photos == {desk.encoder: 1}
    assert desk.published[-1] == {OLD: 2, desk.encoder: 2}


def test_who_can_not_be_covered_is_named_with_the_reason(desk: Desk) -> None:
    desk.enroll("alice", PORTRAIT)
    desk.enroll("bob")
    desk.enroll("carol", GREY)
    desk.enroll("dave", PORTRAIT[:-9])
    desk.enroll("eve", PORTRAIT)
    for file in desk.album._folder.glob("*"):
        if file == desk.album._file("eve"):
            file.write_bytes(b"\x01damaged")
    report = desk.run()
    assert (report.people, report.covered, report.added) == (5, 1, 1)
    assert not report.complete
    assert report.without_photos == ("bob",)
    assert set(report.refused) == {"carol", "dave", "eve"}
    assert "no face" in report.refused["carol"]
    assert "cut short" in report.refused["dave"]
    assert "damaged" in report.refused["eve"]


def test_who_is_revoked_is_left_alone_and_who_is_suspended_stays_so(desk: Desk) -> None:
    desk.enroll("alice", PORTRAIT)
    desk.enroll("bob", PORTRAIT)
    desk.registry.revoke("alice", NOW_S)
    desk.registry.suspend("bob", NOW_S)
    assert desk.run().complete
    assert desk.registry.roster.record("alice").templates == {}
    assert desk.registry.roster.record("bob").suspended


def test_it_goes_on_where_it_was_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reembed, "CHUNK", 1)
    for subject in ("a", "b", "c"):
        desk.enroll(subject, PORTRAIT)

    def ended() -> None:
        if len(desk.published) == 1:
            raise StoreError("the power went")
        desk.publish()

    with pytest.raises(StoreError):
        desk.run(ended)
    assert desk.registry.people.coverage() == {OLD: 3, desk.encoder: 2}
    revisions = desk.registry.roster.entries()
    desk.steps.clear()
    report = desk.run()
    assert (report.added, report.complete) == (1, True)
    assert desk.steps == [(1, 1)]
    assert desk.registry.roster.entries()["a"] == revisions["a"]
    # Published after each chunk, so that doors follow while it runs.
    assert [c[desk.encoder] for c in desk.published] == [1, 3]


def test_what_could_not_be_published_is_published_by_the_next_run(desk: Desk) -> None:
    desk.enroll("alice", PORTRAIT)
    desk.run(lambda: None)
    assert desk.published == []
    assert desk.run().added == 0
    assert desk.published == [{OLD: 1, desk.encoder: 1}]
    desk.run()
    assert len(desk.published) == 1


def test_who_is_enrolled_anew_meanwhile_gets_nothing_of_the_old_photos(
    desk: Desk, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have been re-enrolled because the photos showed somebody else."""
    for subject in ("alice", "bob", "carol", "dave"):
        desk.enroll(subject, PORTRAIT)
    other = Registry(fleet.folder / "registry.db", who="another")

    def slow(*given: Any) -> object:
        made: object = each_photo(*given)
        other.put(Person(subject="bob"), {OLD: Fused(template(77))}, NOW_S)
        other.revoke("carol", NOW_S)
        other.erase("dave", NOW_S)
        return made

    monkeypatch.setattr(reembed, "each_photo", slow)
    report = desk.run()
    other.close()
    assert list(report.refused) == ["bob"]
    assert "run reembed again" in report.refused["bob"]
    assert set(desk.registry.roster.record("bob").templates) == {OLD}
    assert desk.registry.roster.record("carol").gone
    assert desk.registry.people.get("dave") is None
    assert (report.people, report.covered, report.added) == (2, 1, 1)
    monkeypatch.undo()
    assert desk.run().complete


def test_an_edit_between_look_and_write_is_seen(
    desk: Desk, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.enroll("alice", PORTRAIT)
    desk.enroll("bob", PORTRAIT)
    other = Registry(fleet.folder / "registry.db", who="another")
    add_many, tries = Registry.add_many, list[int]()

    def late(registry: Registry, *given: object) -> list[int]:
        tries.append(1)
        if len(tries) == 1:
            other.put(Person(subject="bob"), {OLD: Fused(template(77))}, NOW_S)
        return add_many(registry, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "add_many", late)
    report = desk.run()
    other.close()
    assert len(tries) == 2
    assert set(desk.registry.roster.record("alice").templates) == {OLD, desk.encoder}
    assert set(desk.registry.roster.record("bob").templates) == {OLD}
    assert "run reembed again" in report.refused["bob"]


def test_nothing_to_do_loads_no_models(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.registry.put(Person(subject="alice"), {desk.encoder: Fused(template(1))}, NOW_S)
    monkeypatch.setattr(reembed, "each_photo", lambda *_: pytest.fail("loaded"))
    assert desk.run().complete
