"""The wheel beside packages that somebody else calls edge, export, fleet and training."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.export import siamese
from tests.support.places import ROOT

FOLDERS = ("edge", "export", "fleet", "training", "firmware_configs")
PROGRAMS = ("ostiary", "ostiary-export", "ostiary-fleet", "ostiary-train")
ENCODER = """
source = "export.model:make"
size_px = [28, 28]
channels = "gray"
mean = 127.5
scale = 127.5
licence = "ours"
"""
SETTINGS = """
[encoder]
architecture = "small-28"
[optimiser]
epochs = 1
[batches]
people = 3
images = 3
[data]
choosing = 0.25
judging = 0.25
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree, built beside what an older build has left behind."""
    source = tmp_path_factory.mktemp("source")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, symlinks=True)
    shutil.copytree(ROOT / "ostiary", source / "ostiary", symlinks=True)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    (source / "build" / "lib" / "edge").mkdir(parents=True)
    (source / "build" / "lib" / "edge" / "__init__.py").write_text('"""Of an older build."""\n')
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(source / "dist"), "."]
    subprocess.run(command, cwd=source, check=True)
    (found,) = (source / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def foreign(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of somebody else's, with the wheel in its own environment `venv`."""
    home = tmp_path_factory.mktemp("foreign")
    for name in FOLDERS[:4]:
        (home / name).mkdir()
        (home / name / "__init__.py").write_text(f'"""Another project\'s {name}."""\n')
        (home / name / "__main__.py").write_text('raise SystemExit("not Ostiary")\n')
    (home / "export" / "model.py").write_text(
        Path(siamese.__file__).read_text() + "\n\ndef make():\n    return seeded(Branch)\n"
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home / "venv"], check=True)
    here = sysconfig.get_paths()["purelib"]
    (packages,) = (home / "venv" / "lib").glob("python*/site-packages")
    # What the wheel requires comes from the tests' environment. Its .pth files are not read there,
    # and so not the one that finds this checkout.
    (packages / "requirements.pth").write_text(f"{here}\n")
    command = [sys.executable, "-m", "pip", "--python", str(home / "venv" / "bin" / "python")]
    command += ["install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "--force-reinstall", str(wheel)], check=True)
    return home


def run(home: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A program of the environment, as its owner runs it in the repository's folder."""
    return subprocess.run(
        [home / "venv" / "bin" / program, *arguments], cwd=home, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_the_wheel_installs_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"ostiary"}
    for kept in ("py.typed", "export/assets/portrait.jpg", "fleet/profiles/x86-cpu.toml"):
        assert f"ostiary/{kept}" in names


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_answers(foreign: Path, program: str) -> None:
    done = run(foreign, program, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    where = run(foreign, "python", "-c", "import ostiary, edge; print(ostiary.__file__)")
    assert where.stdout.startswith(str(foreign / "venv")), where.stderr


def test_an_encoder_of_the_users_own_export_package_is_built(
    foreign: Path, bundle_dir: Path
) -> None:
    (foreign / "encoder.toml").write_text(ENCODER)
    done = run(foreign, "ostiary-export", "build", "encoder.toml", "--out", "bundle", "--float")
    assert done.returncode == 0, done.stderr
    assert (foreign / "bundle" / "encoder.onnx").is_file()


@pytest.mark.data
def test_torchrun_trains_with_the_installed_package(
    foreign: Path, bundle_dir: Path, orl: Path
) -> None:
    for person in sorted(p for p in orl.iterdir() if p.is_dir())[:12]:
        (foreign / "faces" / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:3]:
            (foreign / "faces" / person.name / photo.name).symlink_to(photo)
    (foreign / "settings.toml").write_text(SETTINGS)
    options = ["--faces", "faces", "--bundle", str(bundle_dir), "--out", "run"]
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    command += ["-m", "ostiary.training", "fit", "settings.toml", *options]
    done = run(foreign, "python", *command)
    assert done.returncode == 0, done.stderr
    assert (foreign / "run" / "encoder.onnx").is_file()
