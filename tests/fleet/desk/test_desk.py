"""The operator's use cases without a command line: what they return, in which order they act."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.roster.record import Record
from ostiary.fleet.broker.problems import BrokerError
from ostiary.fleet.desk import enroll as enrolling
from ostiary.fleet.desk import rights
from ostiary.fleet.desk.delivery import Delivery, Notice, publish_change
from ostiary.fleet.desk.erase import check_erasable, confirm_erasures, erase
from ostiary.fleet.doors.receipts import Receipts
from ostiary.fleet.enrollment.admit import EnrollmentRules
from ostiary.fleet.enrollment.album import Album
from ostiary.fleet.enrollment.csv_table import Request
from ostiary.fleet.enrollment.patch import PersonWish
from ostiary.fleet.errors import FleetError
from ostiary.fleet.publishing.sealed import Voice
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import Fleet
from tests.support.fleet.memory_broker import Kept, enroll
from tests.support.fleet.publishers import publish_changes, pulled
from tests.support.fleet.reembed_desk import PORTRAIT

NOW_S = 2000.0


class Office:
    """A fleet that keeps photos, its broker in memory, and what the operator was warned of."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.kept = fleet, Kept()
        self.warned: list[Notice] = []
        self.steps: list[str] = []
        enroll(fleet, "alice", "bob")
        publish_changes(fleet, self.kept)

    def say(self, notice: Notice) -> None:
        self.warned.append(notice)

    def publish(self, fleet: Fleet) -> None:
        self.steps.append("publish")
        publish_changes(fleet, self.kept)

    def ask(self, fleet: Fleet, sequence: int, timeout_s: float) -> Receipts:
        self.steps.append(f"ask for {sequence}")
        return Receipts(["north", "south"], ["south"])

    def record(self, subject: str) -> Record | None:
        """What the broker keeps of a subject."""
        return pulled(self.fleet, self.kept).records.get(subject)


@pytest.fixture
def office(fleet: Fleet) -> Office:
    kept = msgspec.structs.replace(fleet.settings, keep_photos=True)
    return Office(Fleet(fleet.folder, kept))


def broken(fleet: Fleet) -> None:
    raise BrokerError("the broker is away", "try later")


def test_a_suspension_is_published_and_a_second_one_changes_nothing(office: Office) -> None:
    first = rights.suspend(office.fleet, "alice", NOW_S, office.say, office.publish)
    assert (first.revision, first.changed, first.delivery) == (3, True, Delivery(published=True))
    suspended = office.record("alice")
    assert suspended is not None
    assert suspended.suspended
    second = rights.suspend(office.fleet, "alice", NOW_S, office.say, office.publish)
    assert (second.revision, second.changed) == (3, False)
    back = rights.resume(office.fleet, "alice", NOW_S, office.say, office.publish)
    assert (back.revision, back.changed) == (4, True)
    # The second suspension had nothing to publish.
    assert office.steps == ["publish", "publish"]


def test_a_change_that_is_not_published_is_kept_and_said(office: Office) -> None:
    wish = PersonWish(groups=("staff",))
    done = rights.change(office.fleet, "alice", wish, NOW_S, office.say, broken)
    assert done.changed
    assert done.delivery == Delivery(published=False, problem="the broker is away")
    assert done.delivery.failed
    (notice,) = office.warned
    assert (notice.what, notice.problem) == ("not published yet", "the broker is away")
    assert "the change is kept" in notice.hint
    assert office.fleet.registry().people.present("alice").groups == ("staff",)
    # The next one that reaches the broker brings both.
    assert publish_change(office.fleet, office.say, office.publish).published
    record = office.record("alice")
    assert record is not None
    assert record.groups == ("staff",)


def test_a_change_that_is_kept_back_is_no_failure(office: Office) -> None:
    done = rights.suspend(office.fleet, "alice", NOW_S, office.say, None)
    assert done.delivery == Delivery(published=False, wanted=False)
    assert not done.delivery.failed
    assert (office.warned, office.steps) == ([], [])


def test_a_change_that_names_nothing_is_refused(office: Office) -> None:
    with pytest.raises(FleetError, match="nothing to change"):
        rights.change(office.fleet, "alice", PersonWish(), NOW_S, office.say, office.publish)
    with pytest.raises(FleetError, match="'carol' is not enrolled"):
        rights.suspend(office.fleet, "carol", NOW_S, office.say, office.publish)


def test_a_revocation_reaches_the_doors_before_photos_are_removed(office: Office) -> None:
    Album(office.fleet).keep("alice", [("a.jpg", PORTRAIT)])

    def publish(fleet: Fleet) -> None:
        assert Album(fleet).has("alice")
        office.publish(fleet)

    done = rights.revoke(office.fleet, "alice", NOW_S, office.say, publish)
    assert (done.changed, done.photos_kept) == (True, False)
    assert not Album(office.fleet).has("alice")
    record = office.record("alice")
    assert record is not None
    assert record.gone


@pytest.mark.parametrize("again", [False, True])
def test_a_revoked_subject_is_refused_before_any_work(
    office: Office, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    class Reached(Exception):
        """The work has begun."""

    def work(*_: object) -> None:
        raise Reached

    class NoBundle:
        encoder_id, dim = "e" * 64, 8

    monkeypatch.setattr(Fleet, "bundle", lambda self: NoBundle())
    monkeypatch.setattr(enrolling, "embed", work)
    monkeypatch.setattr(enrolling, "template_from", work)
    rights.revoke(office.fleet, "alice", NOW_S, office.say, office.publish)
    request, rules = Request("alice", (Path("a.jpg"),)), EnrollmentRules(again=again)
    ways: list[Callable[[], object]] = [
        lambda: enrolling.enroll(office.fleet, request, rules, office.say),
        lambda: enrolling.capture(office.fleet, "north", request, rules, 5.0, office.say),
    ]
    for enroll_one in ways:
        if again:
            with pytest.raises(Reached):
                enroll_one()
            continue
        with pytest.raises(FleetError, match="alice was revoked") as refused:
            enroll_one()
        assert refused.value.option == "again"


def test_an_erasure_removes_photos_then_the_person_then_tells_broker_and_devices(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget, delete = Album.forget, Registry.erase

    def forgetting(album: Album, subject: str) -> bool:
        office.steps.append("forget")
        return forget(album, subject)

    def erasing(registry: Registry, subject: str, now_s: float) -> int:
        office.steps.append("erase")
        return delete(registry, subject, now_s)

    monkeypatch.setattr(Album, "forget", forgetting)
    monkeypatch.setattr(Registry, "erase", erasing)
    report = erase(office.fleet, "alice", NOW_S, 1.0, office.say, office.publish, office.ask)
    # Photos once more after the person: somebody may have enrolled them meanwhile.
    assert office.steps == ["forget", "erase", "forget", "publish", "ask for 3"]
    assert (report.sequence, report.delivery.published) == (3, True)
    assert (report.asked, report.waiting, report.unconfirmed) == (
        ["north", "south"],
        ["south"],
        [3],
    )
    assert Voice(office.fleet).topic_of("alice") not in office.kept.kept


def test_an_erasure_that_is_not_published_asks_no_device(office: Office) -> None:
    office.fleet.registry().add_device("north", 1.0)
    report = erase(office.fleet, "alice", NOW_S, 1.0, office.say, broken, office.ask)
    assert office.fleet.registry().people.get("alice") is None
    assert (report.delivery.failed, report.waiting, report.unconfirmed) == (True, ["north"], [3])
    assert [notice.what for notice in office.warned] == ["not published yet"]
    later = confirm_erasures(office.fleet, 1.0, office.say, office.publish, office.ask)
    assert office.steps == ["publish", "ask for 3"]
    assert (later.waiting, later.unconfirmed) == (["south"], [3])


def test_devices_that_cannot_be_asked_are_all_waited_for(office: Office) -> None:
    def unable(fleet: Fleet, sequence: int, timeout_s: float) -> Receipts:
        raise BrokerError("the broker is away", "try later")

    office.fleet.registry().add_device("north", 1.0)
    report = erase(office.fleet, "alice", NOW_S, 1.0, office.say, office.publish, unable)
    assert (report.delivery.published, report.waiting) == (True, ["north"])
    assert office.warned == [Notice("cannot ask the devices", "the broker is away", "try later")]


def test_photos_without_a_person_are_removed_when_they_are_erased(office: Office) -> None:
    Album(office.fleet).keep("carol", [("c.jpg", PORTRAIT)])
    with pytest.raises(FleetError, match="photos that were left are removed now"):
        check_erasable(office.fleet, "carol")
    with pytest.raises(FleetError, match="'carol' is not enrolled"):
        check_erasable(office.fleet, "carol")
    check_erasable(office.fleet, "alice")


def test_a_table_is_enrolled_line_by_line_and_published_once(
    office: Office, bundle_dir: Path, photos: Path, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(office.fleet.settings, bundle=bundle_dir)
    table = tmp_path / "people.csv"
    table.write_text(f"subject,photo\ndave,{photos / 'none.png'}\ncarol,{photos / 'one.png'}\n")
    steps: dict[str, tuple[int, int]] = {}
    with Fleet(office.fleet.folder, settings) as fleet:
        done = enrolling.enroll_table(
            fleet,
            table,
            EnrollmentRules(),
            lambda step, number, total: steps.update({step: (number, total)}),
            office.say,
            office.publish,
        )
        assert Album(fleet).has("carol")
    assert [one.subject for one in done.outcome.enrolled] == ["carol"]
    assert [(one.line, one.reason) for one in done.refused] == [(2, "no-face")]
    assert steps == {"embedding": (2, 2), "comparing": (1, 1)}
    assert (done.delivery.published, office.steps) == (True, ["publish"])
    assert office.record("carol") is not None
