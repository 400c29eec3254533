"""What K costs: by the curves of the fleet's bundle, its `fpir`, and the photos of everybody."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.core.scores.cost import cost
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.det import Counts, DetFile, TemplateCurve, WorstGroup
from ostiary.fleet.desk.cost import expected_cost
from ostiary.fleet.publishing import publish as publishing
from ostiary.fleet.registry.person import Fused, Person
from ostiary.fleet.site.fleet import Fleet
from tests.support import tiny_bundle
from tests.support.fleet.desk import Said, typed
from tests.support.fleet.memory_broker import Kept
from tests.support.fleet.people import OLD, template
from tests.support.two_bundles import with_curve

FEW = Counts(40_000, 100, [40_000, 4000, 40], [0, 1, 5])
MORE = Counts(40_000, 100, [40_000, 4000, 40], [0, 10, 30])
MOST = Counts(40_000, 100, [40_000, 4000, 40], [0, 20, 45])
WOMEN = WorstGroup("women", 10, 20, "made up", ["men", "women"])


@pytest.fixture
def bundle(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bundle:
    """The bundle that the fleet's settings name."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "factory.pub").write_text(next(iter(tiny_bundle.KEYS.trusted)))
    monkeypatch.setenv("OSTIARY_KEYS", str(keys))
    return bundles.read(with_curve(fleet.settings.bundle, 0))


def people(fleet: Fleet, encoder: str, *photos: int) -> None:
    """Enroll somebody for each number of photos."""
    registry = fleet.registry()
    for number, count in enumerate(photos):
        fused = Fused(template(number), count)
        registry.put(Person(subject=f"{encoder[:3]}-{number}"), {encoder: fused}, 1000.0)


def test_everybodys_photos_count_for_the_encoder_that_enrolls(fleet: Fleet, bundle: Bundle) -> None:
    assert expected_cost(fleet) is None
    people(fleet, OLD, 1, 1)
    assert expected_cost(fleet) is None
    people(fleet, bundle.encoder_id, 1, 1, 2, 0, 5, 1)
    fleet.registry().revoke(f"{bundle.encoder_id[:3]}-5", 1001.0)
    assert fleet.registry().people.by_photos(bundle.encoder_id) == {0: 1, 1: 2, 2: 1, 5: 1}
    curves = bundle.det().curves_for("float_float", worst=True)
    found = expected_cost(fleet)
    assert found == cost(curves, 0.01, 0.001, {0: 1, 1: 2, 2: 1, 5: 1})
    assert found is not None
    assert (found.k, found.fpir) == (5, 0.01)
    with Fleet(fleet.folder, msgspec.structs.replace(fleet.settings, fpir=0.02)) as lenient:
        other = expected_cost(lenient)
    assert other is not None
    assert other.fpir == 0.02


def test_the_curves_are_those_of_a_door_with_the_usual_profile(
    fleet: Fleet, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(fleet, bundle.encoder_id, 1)
    curve = DetFile(bundle.encoder_id, "made up", 1, 1, [0.0, 0.2, 0.4], FEW, float_int8=MORE)
    in_float = replace(bundle, measured=curve)
    models = msgspec.structs.replace(bundle.manifest.models, encoder_int8=tiny_bundle.entry("i"))
    manifest = msgspec.structs.replace(bundle.manifest, models=models)
    in_int8 = replace(in_float, manifest=manifest)
    worst = [TemplateCurve(1, False, True, MOST)]
    grouped = msgspec.structs.replace(curve, curves=worst, worst_group=WOMEN)
    shares = []
    for given in (in_float, in_int8, replace(in_int8, measured=grouped)):
        monkeypatch.setattr(Fleet, "bundle", lambda _fleet, given=given: given)
        found = expected_cost(fleet)
        assert found is not None
        shares.append(found.by_card)
    assert shares == [0.05, 0.3, 0.45]


def published(fleet: Fleet, patch: pytest.MonkeyPatch, *words: str) -> Said:
    """What the command says after it published to a broker in memory."""
    publish, kept = publishing.publish, Kept()
    with patch.context() as patched:
        patched.setattr(
            publishing,
            "publish",
            lambda home, over, told: publish(home, over, told, connect=kept.connect),
        )
        return typed("publish", "--fleet", fleet.folder, *words)


def test_publish_says_what_k_costs(
    fleet: Fleet, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(fleet, OLD, 1)
    assert json.loads(published(fleet, monkeypatch, "--json").out)["cost"] is None
    assert "FNIR" not in published(fleet, monkeypatch).out
    people(fleet, bundle.encoder_id, 1, 1, 2)
    found = expected_cost(fleet)
    assert found is not None
    said = published(fleet, monkeypatch)
    assert said.code == 0
    assert found.text() in " ".join(said.out.split())
    document = json.loads(published(fleet, monkeypatch, "--json").out)
    assert (document["subjects"], document["everything"]) == (4, True)
    assert document["cost"]["k"] == 3
    assert document["cost"]["fnir"] == found.fnir
    assert document["cost"]["bearable_k"] == found.bearable_k


def test_publishing_goes_on_without_a_bundle(
    fleet: Fleet, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    people(fleet, bundle.encoder_id, 1)
    shutil.rmtree(bundle.path)
    said = published(fleet, monkeypatch, "--json")
    assert said.code == 0
    assert json.loads(said.out)["cost"] is None
    assert "it is unknown what K costs: cannot read manifest" in " ".join(said.err.split())
    assert fleet.registry().roster.published == 1
