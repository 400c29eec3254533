"""`ostiary-export engine` with the real TensorRT for RTX: builds, keeps, refuses, survives."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import engines
from ostiary.export.audit import rtx
from ostiary.export.engine.make import needed
from ostiary.export.engine.order import RTX, PlaceQuery
from ostiary.export.engine.workshop import Apart
from tests.support.places import ROOT, ostiary_export, refused

pytestmark = pytest.mark.skipif(bool(rtx.rtx_available()), reason=rtx.rtx_available())
Report = dict[str, Any]
MODELS = ["detector", "landmarks", "pad", "encoder", "encoder_int8"]


def engine(bundle: Path, out: Path, *more: object) -> Report:
    done = ostiary_export("engine", bundle, "--out", out, "--rtx", "sm86", "--json", *more)
    assert done.returncode == 0, done.stderr
    found: Report = json.loads(done.stdout)
    return found


def did(found: Report) -> dict[str, str]:
    return {row["model"]: row["did"] for row in found["models"]}


@pytest.fixture(scope="module")
def built(bundle_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("engines") / "engines"
    return out, engine(bundle_dir, out)


def test_every_model_of_the_bundle_is_built(built: tuple[Path, Report]) -> None:
    out, found = built
    assert did(found) == dict.fromkeys(MODELS, "built")
    kinds = {row["model"]: row["precision"] for row in found["models"]}
    assert kinds == {**dict.fromkeys(MODELS, "fp32"), "encoder_int8": "int8"}
    for row in found["models"]:
        read = engines.read(out / row["file"])
        assert len(read.plan) > 100_000
        assert read.header.proof is None
    assert found["place"]["sm"] == "sm86"
    assert {p.name for p in out.iterdir()} == {
        *(r["file"] for r in found["models"]),
        "engines.json",
    }


def test_a_second_run_keeps_every_engine(bundle_dir: Path, built: tuple[Path, Report]) -> None:
    out, _ = built
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*.engine")}
    assert did(engine(bundle_dir, out)) == dict.fromkeys(MODELS, "hit")
    assert {p.name: p.stat().st_mtime_ns for p in out.glob("*.engine")} == before
    done = ostiary_export("engine", bundle_dir, "--out", out, "--rtx", "sm86", "--needed")
    assert done.returncode == 3
    assert "every engine is up to date" in done.stdout


@pytest.mark.parametrize("part", ["onnx", "tensorrt", "driver", "sm", "flags", "shapes", "plan"])
def test_an_engine_that_differs_in_any_part_is_built_again(
    bundle_dir: Path, built: tuple[Path, Report], part: str
) -> None:
    out, found = built
    file = out / next(row["file"] for row in found["models"] if row["model"] == "landmarks")
    was = engines.read(file)
    fingerprint = was.header.fingerprint
    values = {"onnx": "b" * 64, "flags": ["TF32"], "shapes": {"input": [2, 3, 112, 112]}}
    if part in values:
        fingerprint = msgspec.structs.replace(fingerprint, **{part: values[part]})
    elif part != "plan":
        place = msgspec.structs.replace(fingerprint.place, **{part: "another"})
        fingerprint = msgspec.structs.replace(fingerprint, place=place)
    plan = was.plan[:-1] if part == "plan" else was.plan
    header = msgspec.structs.replace(was.header, fingerprint=fingerprint)
    file.write_bytes(engines.pack(header, plan))
    here = Apart().probe(PlaceQuery(RTX, "sm86"))
    assert needed(bundles.load(bundle_dir), out, here) == ["landmarks"]
    assert did(engine(bundle_dir, out)) == {**dict.fromkeys(MODELS, "hit"), "landmarks": "built"}
    assert engines.read(file).header.fingerprint == was.header.fingerprint


def test_a_model_that_cannot_be_built_is_reported_and_not_tried_again(
    bundle_dir: Path, tmp_path: Path
) -> None:
    arguments = ("engine", bundle_dir, "--out", tmp_path / "e", "--rtx", "sm86")
    done = ostiary_export(*arguments, "--memory-mb", "64", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert did(found) == dict.fromkeys(MODELS, "failed")
    assert "needs more than its 64 MB" in found["models"][0]["failed"][0]
    again = ostiary_export(*arguments)
    assert again.returncode == 1
    assert again.stderr.count("not tried again after it failed") == len(MODELS)
    assert "--again" in again.stderr
    assert ostiary_export(*arguments, "--needed").returncode == 3
    assert did(engine(bundle_dir, tmp_path / "e", "--again")) == dict.fromkeys(MODELS, "built")


def test_engines_of_another_bundle_are_cleared_away(
    bundle_dir: Path, built: tuple[Path, Report]
) -> None:
    out, _ = built
    stale = engines.engine_file(out, "c" * 64, "int8")
    stale.write_bytes(b"old")
    (out / "left.plan").write_bytes(b"of a build that was killed")
    engine(bundle_dir, out)
    assert not stale.exists()
    assert not (out / "left.plan").exists()


def test_an_engine_for_another_board_is_refused_with_a_hint_to_ship_the_bundle(
    bundle_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e"
    said = refused(
        "engine", bundle_dir, "--out", out, "--target", "jetson-orin-nano", program="export"
    )
    assert "sm_87" in said
    assert "ship the bundle instead: ostiary-export pack" in said
    assert "no board 'toaster'" in refused(
        "engine", bundle_dir, "--out", out, "--target", "toaster", program="export"
    )
    assert not out.exists()


def test_without_tensorrt_it_says_what_to_install(bundle_dir: Path, tmp_path: Path) -> None:
    said = refused("engine", bundle_dir, "--out", tmp_path / "e", program="export")
    assert "tensorrt cannot be loaded" in said
    assert "python3-libnvinfer" in said
    assert "--config FILE" in refused("engine", bundle_dir, program="export")


def killed_after(bundle: Path, out: Path, seconds: float) -> None:
    """Start a build and kill its process alone, which leaves it no chance to clean up."""
    command = [sys.executable, "-m", "ostiary.export", "engine", str(bundle), "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--rtx", "sm86"], cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    timer = threading.Timer(seconds, lambda: os.kill(process.pid, signal.SIGKILL))
    timer.start()
    process.wait()
    timer.cancel()


@pytest.mark.parametrize(
    ("seed", "kills"), [(0, 2), *(pytest.param(s, 8, marks=pytest.mark.long) for s in (1, 2))]
)
def test_a_build_killed_at_any_moment_leaves_only_whole_engines(
    bundle_dir: Path, tmp_path: Path, seed: int, kills: int
) -> None:
    out = tmp_path / "engines"
    rng = random.Random(seed)
    for _ in range(kills):
        killed_after(bundle_dir, out, rng.uniform(0.3, 3.0))
        for file in out.glob("*.engine"):
            assert engines.read(file).plan
    # A build that was killed twice is not tried again without --again.
    assert "failed" not in did(engine(bundle_dir, out, "--again")).values()
    left = [p.name for p in out.iterdir() if p.suffix != ".engine"]
    assert left == ["engines.json"]


def test_a_second_build_in_one_folder_is_refused(bundle_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "e"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    said = refused("engine", bundle_dir, "--out", folder, "--rtx", "sm86", program="export")
    os.close(descriptor)
    assert "another process builds engines" in said
