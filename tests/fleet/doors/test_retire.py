"""Retiring an encoder: refused while a person or a door still needs the old templates."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.sections import MqttSection
from ostiary.edge.wire import RosterMessage, StateMessage, Topics, encode
from ostiary.fleet.broker.session import Broker, Retained
from ostiary.fleet.enrollment import reembed
from ostiary.fleet.enrollment.reembed import chosen_encoder, retire
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import Fleet
from scripts import trial
from tests.support.fleet.people import NEW, OLD, template
from tests.support.fleet.reembed_desk import NOW_S, PORTRAIT, Desk
from tests.support.places import ostiary


@pytest.fixture
def desk(fleet: Fleet, bundle: Bundle) -> Desk:
    return Desk(fleet, bundle)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Registry]:
    """Two people with both templates, one with the new one only."""
    registry = Registry(tmp_path / "r.db", who="operator")
    people = [Person(subject=s, groups=("staff",), suspended=s == "bob") for s in ("alice", "bob")]
    registry.put_many(
        [(p, {OLD: Fused(template(1), 1), NEW: Fused(template(2), 2)}) for p in people], NOW_S
    )
    registry.put(Person(subject="carol"), {NEW: Fused(template(3))}, NOW_S)
    yield registry
    registry.close()


def retired(registry: Registry, devices: dict[str, str | None], old: str = OLD) -> int:
    return retire(registry, old, NEW, devices, lambda: NOW_S, lambda: None, lambda *_: None)


def test_old_templates_go_when_every_door_has_changed_over(
    both: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembed, "CHUNK", 1)
    assert retired(both, {"north": NEW, "south": NEW}) == 2
    assert both.people.coverage() == {NEW: 3}
    np.testing.assert_array_equal(both.people.templates(NEW)[0][1][0], template(2))
    assert both.roster.record("alice").photos == {NEW: 2}
    assert both.roster.record("bob").suspended
    assert both.roster.record("alice").groups == ("staff",)
    assert both.roster.changed_since(3) == ["alice", "bob"]
    assert retired(both, {"north": NEW}) == 0


@pytest.mark.parametrize("device", [OLD, None])
def test_a_door_that_has_not_changed_over_keeps_them(both: Registry, device: str | None) -> None:
    with pytest.raises(FleetError, match="1 devices have not changed over"):
        retired(both, {"north": NEW, "south": device})
    assert both.people.coverage() == {OLD: 2, NEW: 3}


def test_somebody_who_would_be_shut_out_keeps_all(both: Registry) -> None:
    both.put(Person(subject="dave"), {OLD: Fused(template(4))}, NOW_S)
    with pytest.raises(FleetError, match="1 people have no template of the new encoder: dave"):
        retired(both, {"north": NEW})
    assert both.people.coverage() == {OLD: 3, NEW: 3}


def test_the_encoder_in_use_is_not_retired(both: Registry) -> None:
    with pytest.raises(FleetError, match="encoder of the bundle"):
        retired(both, {"north": NEW}, old=NEW)


def test_an_encoder_is_named_by_its_beginning(both: Registry) -> None:
    assert chosen_encoder(both, "aaaa") == OLD
    for given in ("c", "", "A"):
        with pytest.raises(FleetError, match=r"aaaaaaaaaaaa, bbbbbbbbbbbb"):
            chosen_encoder(both, given)


@pytest.fixture
def commanded(desk: Desk, bundle_dir: Path) -> Desk:
    """The desk's fleet, whose fleet.toml enrolls with the new bundle; two people."""
    desk.enroll("alice", PORTRAIT)
    desk.enroll("bob", PORTRAIT)
    desk.settle(bundle_dir, 1)
    return desk


def reembedded(desk: Desk, *more: object) -> subprocess.CompletedProcess[str]:
    given = ("--fleet", desk.folder, "--bundle", desk.bundle.path, "--backend", "onnxruntime")
    return ostiary("reembed", *given, *more, program="fleet")


def test_the_command_says_who_is_covered_by_its_exit_code(commanded: Desk) -> None:
    done = reembedded(commanded, "--no-publish", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["complete"], said["report"]["added"], said["published"]) == (True, 2, False)
    commanded.enroll("carol")
    again = reembedded(commanded, "--no-publish")
    assert again.returncode == 1
    assert "2 of 3 people have a template" in again.stdout
    assert "carol" in again.stderr
    assert "fleet.toml" not in again.stderr


def test_the_old_bundle_in_fleet_toml_is_pointed_out(commanded: Desk, tmp_path: Path) -> None:
    commanded.settle(tmp_path / "none", 1)
    assert "fleet.toml still enrolls" in reembedded(commanded, "--no-publish").stderr
    done = reembedded(commanded, "--no-publish", "--retire-old", OLD[:8])
    assert done.returncode == 2
    assert "name the new bundle there first" in done.stderr


def test_a_broker_that_is_away_costs_nobody_their_template(commanded: Desk) -> None:
    done = reembedded(commanded)
    assert done.returncode == 1
    assert "not published yet" in done.stderr
    assert commanded.registry.people.coverage()[commanded.encoder] == 2


def test_over_a_broker_doors_follow_and_the_old_ones_are_retired(
    commanded: Desk, bundle_dir: Path, tmp_path: Path
) -> None:
    with trial.Mosquitto(tmp_path / "broker") as broker:
        commanded.settle(bundle_dir, broker.port)
        commanded.registry.add_device("north", NOW_S)
        done = reembedded(commanded, "--retire-old", OLD[:8])
        assert done.returncode == 2
        assert "north has reported none" in done.stderr
        # The new templates are published and stay.
        assert commanded.registry.roster.published == commanded.registry.roster.sequence
        say(broker.port, {"north": commanded.encoder, "unlisted": OLD})
        refused = reembedded(commanded, "--retire-old", OLD[:8]).stderr
        assert f"unlisted uses {OLD[:12]}" in refused
        assert commanded.registry.people.coverage() == {OLD: 2, commanded.encoder: 2}
        say(broker.port, {"unlisted": commanded.encoder})
        last = reembedded(commanded, "--retire-old", OLD[:8], "--json")
        assert last.returncode == 0, last.stderr
        assert json.loads(last.stdout)["retired"] == 2
    assert commanded.registry.people.coverage() == {commanded.encoder: 2}
    assert commanded.registry.roster.published == commanded.registry.roster.sequence


def say(port: int, encoders: dict[str, str]) -> None:
    """Retained messages of devices, with the encoder that each uses."""
    with Broker(MqttSection(host="127.0.0.1", port=port)) as broker:
        for device, encoder in encoders.items():
            message = RosterMessage(
                sequence=1, digest="", complete=True, subjects=2, usable=2, encoder=encoder,
                coverage={}, at="2026-11-22T00:00:00Z",
            )  # fmt: skip
            topics, online = Topics("hq", device), StateMessage(status="online", session=1)
            said = [
                Retained(topics.roster, encode(message)),
                Retained(topics.state, encode(online)),
            ]
            broker.publish(said)
