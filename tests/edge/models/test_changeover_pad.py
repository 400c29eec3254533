"""Two bundles side by side, if the profile names a PAD file: it is of one bundle's models."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.sections import PadSection
from ostiary.edge.vision.observer import Observer, open_enrolled
from ostiary.edge.vision.pipeline import open_pipeline
from tests.edge.presentations.made_up import pad_for
from tests.support.two_bundles import Two


@pytest.fixture
def site(tmp_path: Path) -> Two:
    return Two(tmp_path)


def asking(site: Two, bundle: Path, required: bool = True) -> None:
    """A profile whose file was fitted with the models of a bundle."""
    path = pad_for(bundle, site.config.state.path / "pad.json")
    asked = PadSection(required=required, file=path)
    site.config = msgspec.structs.replace(site.config, pad=asked)


@pytest.mark.parametrize("due", [True, False])
def test_a_next_that_the_file_is_not_of_is_refused(site: Two, due: bool) -> None:
    asking(site, site.now)
    if not due:
        site.people.append({site.old})
    chosen = site.start()
    site.stays(chosen)
    (refused,) = chosen.refused
    assert "fitted with another model" in refused
    assert not chosen.changeover.complete([{site.new}])
    asking(site, site.now, required=False)
    site.people = [{site.new}]
    site.has_changed(site.start())


def test_a_next_that_the_file_is_of_replaces_the_bundle_that_it_is_not_of(site: Two) -> None:
    site.people.append({site.old})
    asking(site, site.after)
    chosen = site.start()
    site.has_changed(chosen)
    (refused,) = chosen.refused
    assert "fitted with another model" in refused
    assert str(site.now) in refused


def test_without_a_next_the_door_does_not_start(site: Two) -> None:
    asking(site, site.after)
    pipeline = open_pipeline(bundles.read(site.now), "onnxruntime")
    enrolled = open_enrolled(pipeline, site.config)
    with pytest.raises(BundleError, match=r"pad\.json was fitted with another model"):
        Observer(pipeline, site.config, enrolled)
    asking(site, site.now)
    Observer(pipeline, site.config, enrolled)
    pipeline.close()
