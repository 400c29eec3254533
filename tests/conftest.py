"""What many tests share: a real bundle, the portrait, the face data, and the site's broker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from ostiary.edge.adapters.photos import decode
from ostiary.edge.core.types import Image
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.vision.pipeline import Pipeline, open_pipeline
from ostiary.export.bundle import build
from ostiary.export.plan import recipe
from ostiary.export.plan.options import Options
from tests.support.places import DATA, ROOT
from tests.support.site_broker import Authority, SiteBroker

# A shell ignores it for what it runs in the background, and what we start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no finding, and what fails for one must fail for all: a test's own settings
# are added to these.
settings.register_profile(
    "ostiary",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ostiary")


LONG_S = 1500


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long test may take longer than the timeout of the others."""
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_S))


@pytest.fixture(scope="session", autouse=True)
def _own_keys(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keys of the session's own, for the commands that tests start as well."""
    os.environ["XDG_CONFIG_HOME"] = str(tmp_path_factory.mktemp("config"))
    os.environ.pop("OSTIARY_KEYS", None)


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle mobilefacenet-192, built and signed once a session from real weights."""
    out = tmp_path_factory.mktemp("bundle") / "mobilefacenet-192"
    build.build(recipe.load("mobilefacenet-192"), out, Options(), lambda stage: None)
    return out


@pytest.fixture(scope="session")
def bundle(bundle_dir: Path) -> Bundle:
    return bundles.load(bundle_dir)


@pytest.fixture(scope="session")
def pipeline(bundle: Bundle) -> Pipeline:
    """The real models on the backend that `auto` chooses."""
    return open_pipeline(bundle)


@pytest.fixture(scope="session")
def portrait() -> Image:
    """A 640x480 photo with one face."""
    return decode((ROOT / "export" / "assets" / "portrait.jpg").read_bytes(), "portrait")


@pytest.fixture
def portrait_file(tmp_path: Path) -> Path:
    """The portrait as a file."""
    path = tmp_path / "portrait.jpg"
    path.write_bytes((ROOT / "export" / "assets" / "portrait.jpg").read_bytes())
    return path


@pytest.fixture(scope="session")
def faces_data() -> Path:
    """The folder of real faces; the test skips where it is absent."""
    if not (DATA / "faces").is_dir():
        pytest.skip(f"no face data in {DATA}: CONTRIBUTING.md says where it goes")
    return DATA / "faces"


@pytest.fixture(scope="session")
def orl(faces_data: Path) -> Path:
    """40 people, ten photos each."""
    path = faces_data.parent / "orl"
    if not path.is_dir():
        pytest.skip(f"no face data in {path}")
    return path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Makes certificates that the site's broker trusts."""
    return Authority(tmp_path_factory.mktemp("authority") / "certs")


@pytest.fixture(scope="module")
def site(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteBroker]:
    """The broker as it is shipped: TLS, and no client without a certificate."""
    with SiteBroker(tmp_path_factory.mktemp("site"), authority) as running:
        yield running
