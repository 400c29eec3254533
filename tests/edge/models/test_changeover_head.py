"""Two bundles side by side, if the profile needs a logistic head: one without it is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.errors import BundleError
from ostiary.edge.models.changeover import Changeover
from ostiary.edge.runtime.bundle import MANIFEST
from ostiary.edge.runtime.heads import verifier_file
from ostiary.edge.runtime.heads.verifier_file import VERIFIER
from ostiary.edge.runtime.manifest import Manifest
from ostiary.edge.sections import RecognitionSection
from ostiary.edge.vision.pipeline import Pipeline
from tests.support import made_verifier
from tests.support.two_bundles import Two, rewrite, wrong_golden


@pytest.fixture
def site(tmp_path: Path) -> Two:
    return Two(tmp_path)


def with_head(folder: Path) -> None:
    """A logistic head of the bundle's own encoder."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    head = made_verifier.made(manifest.encoder_id, manifest.dim)
    (folder / VERIFIER).write_bytes(verifier_file.to_text(head))
    rewrite(folder, [*manifest.files, VERIFIER])


def asking(site: Two) -> None:
    """A profile that asks for a logistic head."""
    asked = RecognitionSection(mode=Mode.VERIFY, verifier=True)
    site.config = msgspec.structs.replace(site.config, recognition=asked)


@pytest.mark.parametrize("due", [True, False])
def test_a_next_without_the_head_that_the_profile_asks_for_is_refused(site: Two, due: bool) -> None:
    asking(site)
    with_head(site.now)
    if not due:
        site.people.append({site.old})
    chosen = site.start()
    site.stays(chosen)
    (refused,) = chosen.refused
    assert "no verifier.json" in refused
    assert str(site.after) in refused
    assert not chosen.changeover.complete([{site.new}])
    with_head(site.after)
    site.people = [{site.new}]
    site.has_changed(site.start())


@pytest.mark.parametrize("same", [True, False])
def test_an_old_bundle_without_the_head_that_the_profile_asks_for_is_broken(
    site: Two, same: bool
) -> None:
    """Also with the same encoder, if a bundle was installed in its place without the head."""
    after = shutil.copytree(site.now, site.now.with_name("copy")) if same else site.after
    with_head(after)
    if not same:
        site.people.append({site.old})
    assert site.start(after).pipeline.bundle.path == site.now, "nobody asks for one"
    asking(site)
    chosen = site.start(after)
    assert chosen.pipeline.bundle.path == after
    assert chosen.changeover == Changeover()
    (refused,) = chosen.refused
    assert "no verifier.json" in refused
    assert str(site.now) in refused


def test_if_neither_has_the_head_the_door_does_not_start(site: Two) -> None:
    with_head(site.after)
    wrong_golden(site.after)
    asking(site)
    with pytest.raises(BundleError, match=r"no verifier\.json"):
        site.start()


def test_a_head_that_was_not_evaluated_with_the_doors_probes_does_not_count(
    site: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with int8 probes: the tiny bundle has no int8 encoder, so the test names its probes so."""
    for folder in (site.now, site.after):
        with_head(folder)
    asking(site)
    site.has_changed(site.start())
    closed = []
    monkeypatch.setattr(Pipeline, "_comparison", "float_int8")
    monkeypatch.setattr(Pipeline, "curve", lambda self: None)
    monkeypatch.setattr(Pipeline, "close", lambda self: closed.append(self.bundle.path))
    with pytest.raises(BundleError, match="no float_int8 comparison"):
        site.start()
    assert closed == [site.after, site.now]
