"""What the fleet's tests share: a folder as `init` makes it, without a broker behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from ostiary.edge.core.types import Image
from ostiary.fleet.registry.registry import Registry
from ostiary.fleet.site.fleet import SETTINGS, Fleet
from ostiary.fleet.site.keys import OPERATOR_KEY, SITE_KEY, make_operator_key, make_site_key
from tests.support.fleet.desk import Desk, init
from tests.support.places import write_png


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A fleet of site `hq` with two groups; its bundle is named but not there."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / SETTINGS).write_text(
        'site = "hq"\nbundle = "bundle"\nhost = "127.0.0.1"\ngroups = ["staff", "cleaners"]\n'
    )
    make_site_key(folder / SITE_KEY)
    make_operator_key(folder / OPERATOR_KEY)
    with Fleet.open(folder) as opened:
        yield opened


@pytest.fixture
def desk(tmp_path: Path, bundle_dir: Path) -> Desk:
    """A fleet as `init` makes it, with the real bundle and a broker that is not there."""
    return init(tmp_path / "fleet", bundle_dir)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, portrait: Image) -> Path:
    """A folder with one face, two faces, none, one too blurred, and what is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    write_png(folder / "one.png", portrait)
    write_png(folder / "two.png", np.hstack([portrait, portrait]))
    write_png(folder / "none.png", np.full((240, 320, 3), 90, np.uint8))
    write_png(folder / "blurred.png", cv2.GaussianBlur(portrait, (0, 0), 9))
    (folder / "text.jpg").write_text("no photo")
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """An empty registry that does not wait long for another."""
    made = Registry(tmp_path / "r.db", who="operator", busy_s=0.05)
    yield made
    made.close()
