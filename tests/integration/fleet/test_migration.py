"""A fleet and its door go from `mobilefacenet-192` to the default encoder, and the door stays in
use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ostiary.edge.core.types import Outcome
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.det import Counts, DetFile
from ostiary.edge.wire import DecisionMessage, StateMessage
from ostiary.export.bundle import build
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from ostiary.export.plan.recipe import DEFAULT, BuildPlan
from ostiary.export.records.results import EncoderMeasurements
from ostiary.fleet.enrollment import reembed
from ostiary.fleet.publishing import publish
from ostiary.fleet.site.create import found
from ostiary.fleet.site.fleet import SETTINGS, Fleet, SiteSettings
from scripts import trial
from tests.support.doors.real_daemon import Door, Listener
from tests.support.fleet.desk import Desk
from tests.support.places import ostiary

pytestmark = pytest.mark.long
PEOPLE = 3
SEVERAL = 5
"""Decisions that must come before a door counts as in use."""


@pytest.fixture(scope="module")
def default_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the default recipe, in int8 if the recipe's gate is recorded."""
    out = tmp_path_factory.mktemp("default") / DEFAULT
    plan = recipe.load(DEFAULT)
    if plan.recorded.gate is None or plan.recorded.curve is None:
        build.build(_with_made_up_curve(plan), out, Options(int8=False), lambda stage: None)
    else:
        build.build(plan, out, Options(), lambda stage: None)
    return out


def _with_made_up_curve(plan: BuildPlan) -> BuildPlan:
    """A plan from which a bundle can be built whose real curve is not recorded yet."""
    counts = Counts(40_000, 1000, [40_000, 4000, 40, 1], [0, 1, 5, 20])
    encoder = plan.recipe.encoder_sha256
    curve = DetFile(encoder, "made up", 1, 1, [0.0, 0.2, 0.4, 0.6], counts)
    return replace(plan, recorded=EncoderMeasurements(curve=curve))


class Site:
    """An operator with kept photos, and one door that sees Eileen for ever."""

    def __init__(self, fleet: Fleet, door: Door, listener: Listener, following: Path) -> None:
        self.fleet, self.door, self.listener, self.following = fleet, door, listener, following
        self.operator = Desk(fleet.folder)

    def restart(self) -> None:
        assert self.door.end() == 0
        self.door.start()

    def grants(self, encoder: str) -> DecisionMessage:
        """The door decides several times from now on, by this encoder; the last decision."""
        seen = len(self.listener.decisions)

        def by_it() -> list[DecisionMessage]:
            return [d for d in self.listener.decisions[seen:] if d.encoder == encoder]

        assert self.listener.until(lambda _: len(by_it()) >= SEVERAL), self.door.log()
        last = by_it()[-1]
        assert (last.outcome, last.subject) == (Outcome.GRANTED, "eileen")
        return last

    def holds(self, coverage: dict[str, int]) -> None:
        """The door reports that it holds so many templates, by encoder."""

        def told(listener: Listener) -> bool:
            return bool(listener.rosters) and listener.rosters[-1].coverage == coverage

        assert self.listener.until(told), (coverage, self.listener.rosters[-1:], self.door.log())

    def state(self, encoder: str) -> StateMessage:
        """The newest state of the door while it is in use with this encoder and everybody."""

        def told() -> list[StateMessage]:
            states = self.listener.states
            return [s for s in states if (s.encoder, s.k, s.camera) == (encoder, PEOPLE, "ok")]

        assert self.listener.until(lambda _: bool(told())), self.listener.states[-1:]
        return told()[-1]


@pytest.fixture
def site(tmp_path: Path, bundle_dir: Path, camera: str, broker: trial.Mosquitto) -> Iterator[Site]:
    folder, following = tmp_path / "fleet", tmp_path / "door" / "bundle-next"
    found(
        folder,
        SiteSettings(
            site="test", bundle=bundle_dir, host="127.0.0.1", port=broker.port, keep_photos=True
        ),
    )
    keys = f'[roster]\noperators = "{folder}"\nsite_key = "{folder}/site.key"\n'
    after = f'next = "{following}"'
    listener = Listener(broker.port)
    with (
        Fleet.open(folder) as fleet,
        Door(
            tmp_path / "door", bundle_dir, camera, broker.port, more=keys, bundle_more=after
        ) as door,
    ):
        fleet.registry().add_device("door", 0.0)
        yield Site(fleet, door, listener, following)
    listener.close()


def test_a_fleet_goes_to_the_default_encoder_and_the_door_lets_in_all_the_while(
    site: Site,
    bundle_dir: Path,
    default_dir: Path,
    portrait_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = (bundles.read(folder).encoder_id for folder in (bundle_dir, default_dir))
    photos = trial.sample_photos()
    site.operator.run("enroll", "eileen", portrait_file)
    site.operator.run("enroll", "barack", photos / "obama.jpg", photos / "obama2.jpg")
    site.operator.run("enroll", "joe", photos / "biden.jpg")
    site.holds({old: PEOPLE})
    # Until here the door did not know everybody, so it may have denied.
    first = site.grants(old).seq

    # The door knows the next bundle from now on, and nobody has a template for it.
    assert ostiary("bundle", "install", default_dir, site.following).returncode == 0
    site.restart()
    site.grants(old)
    before = site.state(old)

    # The templates come person by person; until the last one the door answers as before.
    covered, publish_changes = list[int](), publish.publish_changes

    def watched(fleet: Fleet) -> object:
        done = publish_changes(fleet)
        covered.append(fleet.registry().people.coverage()[new])
        if covered[-1] < PEOPLE:
            site.holds({old: PEOPLE, new: covered[-1]})
            site.grants(old)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(reembed, "CHUNK", 1)
        patch.setattr(publish, "publish_changes", watched)
        report = site.operator.run("reembed", "--bundle", default_dir)["report"]
    assert covered == [1, 2, 3]
    assert (report["encoder"], report["covered"], report["added"]) == (new, PEOPLE, PEOPLE)

    # The door changes over by itself.
    site.grants(new)
    after = site.state(new)
    assert before.tau is not None
    assert after.tau is not None
    assert before.tau != after.tau

    settings = site.fleet.folder / SETTINGS
    settings.write_text(settings.read_text().replace(str(bundle_dir), str(default_dir)))
    site.holds({old: PEOPLE, new: PEOPLE})
    retired = site.operator.run("reembed", "--bundle", default_dir, "--retire-old", old[:8])
    assert retired["retired"] == PEOPLE
    assert site.fleet.registry().people.coverage() == {new: PEOPLE}
    site.holds({new: PEOPLE})
    site.grants(new)
    # Also a door that starts now does not miss the old templates.
    site.restart()
    site.grants(new)

    by_number = {d.seq: d for d in site.listener.decisions if d.seq >= first}
    decisions = [by_number[number] for number in sorted(by_number)]
    assert list(by_number) == list(range(first, first + len(decisions)))
    refusals = [d for d in decisions if (d.outcome, d.subject) != (Outcome.GRANTED, "eileen")]
    assert refusals == []
    assert [encoder for encoder, _ in itertools.groupby(d.encoder for d in decisions)] == [old, new]
    for state in (before, after):
        assert state.tau in {d.tau for d in decisions if d.encoder == state.encoder}
    (door,) = site.operator.run("status")["devices"]
    assert (door["encoder"], door["usable"], door["coverage"]) == (new, PEOPLE, {new: PEOPLE})
