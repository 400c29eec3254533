"""`ostiary-export` as a user runs it: exit codes, what is left behind, never a traceback."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.export.bundle.release import GATE
from ostiary.export.graphs import normal_form
from ostiary.export.records.results import Gate
from tests.support.places import ROOT, ostiary, ostiary_export, refused, write_png


@pytest.fixture
def copy(bundle_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(bundle_dir, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_help_of_the_program_has_an_example() -> None:
    assert "ostiary-export build --out bundle" in ostiary_export("--help").stdout


def test_a_bundle_goes_to_a_device_that_trusts_its_key_and_to_no_other(
    copy: Path, tmp_path: Path
) -> None:
    made = ostiary_export("keygen", "--out", tmp_path / "factory.key", "--json")
    public = json.loads(made.stdout)["key"]
    assert (tmp_path / "factory.key").stat().st_mode & 0o077 == 0
    signed = ostiary_export("sign", copy, "--key", tmp_path / "factory.key")
    assert public in signed.stdout
    archive, target = tmp_path / "models.zip", tmp_path / "device" / "bundle"
    assert ostiary_export("pack", copy, "--out", archive).returncode == 0
    target.parent.mkdir()
    stranger = refused("bundle", "install", archive, target)
    assert "is signed by" in stranger
    assert not target.exists()
    keys = tmp_path / "keys"
    keys.mkdir()
    shutil.copy(tmp_path / "factory.pub", keys)
    assert ostiary("bundle", "install", archive, target, "--keys", keys).returncode == 0
    assert (target / SIGNATURE).read_bytes() == (copy / SIGNATURE).read_bytes()


def test_inspect_tells_who_signed_and_how_it_reads_a_face(copy: Path) -> None:
    told = json.loads(ostiary_export("inspect", copy, "--json").stdout)
    assert told["signature"].endswith("trusted here")
    declared, raw = told["face"][0], told["face"][2]
    assert declared[0] == "rgb, (value - 127.5) / 128"
    assert declared[1] > 0.9 > 0.5 > declared[2]
    assert raw[2] > 0.8, "raw pixel values: everything looks alike"
    (copy / SIGNATURE).unlink()
    assert "not signed" in ostiary_export("inspect", copy).stdout


def test_the_audit_passes_ours_and_names_the_node_of_another(copy: Path, tmp_path: Path) -> None:
    assert ostiary_export("audit", copy / "encoder.int8.onnx").returncode == 0
    model = onnx.load(copy / "encoder.int8.onnx")
    zeros = {n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    name = sorted(zeros)[0]
    normal_form.put_weights(model, {name: normal_form.weights(model)[name] + np.int8(3)})
    onnx.save(model, tmp_path / "shifted.onnx")
    found = ostiary_export("audit", tmp_path / "shifted.onnx", "--json")
    assert found.returncode == 1
    assert json.loads(found.stdout)["audit"]["violations"][0]["node"]


@pytest.mark.parametrize("text", [b"", b"no onnx at all", b"\x08\x07"])
def test_what_is_no_model_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.onnx").write_bytes(text)
    assert "a.onnx" in refused("audit", tmp_path / "a.onnx", program="export")


def test_a_failed_gate_is_not_signed_again(copy: Path) -> None:
    loaded = bundles.read(copy)
    gate = msgspec.json.decode((copy / GATE).read_bytes(), type=Gate)
    failed = msgspec.structs.replace(gate, passed=False, failures=["it loses .3 of TAR"])
    from ostiary.export.bundle.release import write_manifest

    write_manifest(copy, loaded.manifest, {GATE: msgspec.json.encode(failed)})
    assert "it loses .3 of TAR" in refused("sign", copy, program="export")
    assert "manifest.json" in refused("bench", "--bundle", copy, "--compare")


def test_nothing_to_compare_is_refused(copy: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    for person in "ab":
        (faces / person).mkdir(parents=True)
        write_png(faces / person / "1.png", np.zeros((300, 300, 3), np.uint8))
    assert "no face in any of the 2" in refused("verify", copy, "--faces", faces, program="export")
    assert "no folder" in refused("verify", copy, "--faces", tmp_path / "none", program="export")
    assert (copy / SIGNATURE).is_file(), "what could not be judged stays as it was"


def test_an_unwritable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    told = refused("build", "mobilefacenet-192", "--out", tmp_path / "file" / "b", program="export")
    assert "cannot write" in told


@pytest.mark.long
def test_a_killed_build_leaves_no_bundle_and_the_next_clears_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "ostiary.export",
        "build",
        "mobilefacenet-192",
        "--out",
        str(out),
    ]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        # The front end is written by then, the encoder's verdict is not.
        for line in running.stderr:
            if "golden vectors" in line:
                break
        running.send_signal(signal.SIGKILL)
    assert not out.exists()
    assert list(tmp_path.glob(".out.building-*"))
    assert ostiary_export("build", "mobilefacenet-192", "--out", out).returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


@pytest.mark.long
def test_compare_prints_every_encoder_and_the_ratios(bundle_dir: Path) -> None:
    told = json.loads(ostiary("bench", "--bundle", bundle_dir, "--compare", "--json").stdout)
    names = [item["name"] for item in told["encoders"]]
    assert names[0] == "f32 on openvino"
    assert {"f32 on onnxruntime", "int8 on openvino", "int8 on onnxruntime"} <= set(names)
    assert (
        "times as fast as f32 on onnxruntime"
        in ostiary("bench", "--bundle", bundle_dir, "--compare").stdout
    )
