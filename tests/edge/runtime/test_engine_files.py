"""Engine files: only an undamaged, proven engine of this ONNX file and this device is run."""

import hashlib
import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from ostiary.edge.errors import BackendError
from ostiary.edge.runtime import engines
from ostiary.edge.runtime.engines import (
    EngineEntry,
    EnginePlace,
    EngineReport,
    Failure,
    Fingerprint,
    Header,
    Proof,
)

ORIN = EnginePlace("tensorrt 10.3.0", "12.6", "sm_87", "Orin")
ONNX = "a" * 64
PLAN = b"a plan\n with lines"
PRINT = Fingerprint(ONNX, ORIN, "int8", ["INT8", "FP16"], {"input": [1, 3, 112, 112]})
OTHERS = {
    "tensorrt": "tensorrt 10.3.1",
    "driver": "13.0",
    "sm": "sm_110",
    "device": "Thor",
}


PROOF = Proof(0.001, 0.01)


def header(proof: Proof | None = PROOF) -> Header:
    return Header(1, PRINT, hashlib.sha256(PLAN).hexdigest(), 1.5, proof, None)


def put(folder: Path, data: bytes) -> Path:
    path = engines.engine_file(folder, ONNX, "int8")
    path.write_bytes(data)
    return path


def test_an_engine_comes_back_as_it_was_written(tmp_path: Path) -> None:
    put(tmp_path, engines.pack(header(), PLAN))
    found = engines.find(tmp_path, ONNX, ORIN)
    assert (found.header, found.plan) == (header(), PLAN)


@pytest.mark.parametrize("cut", [0, 5, 20, 200, -1])
def test_an_engine_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = put(tmp_path, engines.pack(header(), PLAN)[:cut])
    with pytest.raises(BackendError, match=r"not an engine of|damaged"):
        engines.read(path)


@pytest.mark.parametrize("at", range(15, 420, 9))
def test_an_engine_with_a_wrong_byte_is_refused(tmp_path: Path, at: int) -> None:
    data = bytearray(engines.pack(header(), PLAN))
    data[at % len(data)] ^= 0x5A
    path = put(tmp_path, bytes(data))
    try:
        found = engines.read(path)
    except BackendError:
        return
    # Not every byte of the header is checked by itself; it then names another place or file.
    assert found.header != header()
    assert found.plan == PLAN


@pytest.mark.parametrize("field", list(OTHERS))
def test_an_engine_of_another_device_is_refused_with_what_differs(
    tmp_path: Path, field: str
) -> None:
    put(tmp_path, engines.pack(header(), PLAN))
    elsewhere = msgspec.structs.replace(ORIN, **{field: OTHERS[field]})
    with pytest.raises(BackendError) as caught:
        engines.find(tmp_path, ONNX, elsewhere)
    was = getattr(ORIN, field)
    assert f"{field} {was} there, {OTHERS[field]} here" in caught.value.message
    assert "ostiary-export engine" in caught.value.hint


def test_an_engine_of_another_onnx_file_is_refused(tmp_path: Path) -> None:
    other = "a" * 63 + "b"  # the same name on the disk
    put(tmp_path, engines.pack(header(), PLAN))
    with pytest.raises(BackendError, match=r"onnx a{64} there"):
        engines.find(tmp_path, other, ORIN)


def test_an_engine_that_never_met_its_golden_vectors_is_refused(tmp_path: Path) -> None:
    put(tmp_path, engines.pack(header(proof=None), PLAN))
    with pytest.raises(BackendError, match=r"never tested on golden vectors"):
        engines.find(tmp_path, ONNX, ORIN)


def test_the_fastest_usable_precision_is_run(tmp_path: Path) -> None:
    slow = msgspec.structs.replace(PRINT, precision="fp32")
    half = msgspec.structs.replace(PRINT, precision="fp16")
    for fingerprint in (slow, half):
        file = engines.engine_file(tmp_path, ONNX, fingerprint.precision)
        one = msgspec.structs.replace(header(), fingerprint=fingerprint)
        file.write_bytes(engines.pack(one, PLAN))
    assert engines.find(tmp_path, ONNX, ORIN).header.fingerprint.precision == "fp16"
    engines.engine_file(tmp_path, ONNX, "fp16").write_bytes(b"nothing")
    assert engines.find(tmp_path, ONNX, ORIN).header.fingerprint.precision == "fp32"


def test_without_an_engine_the_reason_of_the_last_build_is_given(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"there is no engine in"):
        engines.find(tmp_path, ONNX, ORIN)
    entry = EngineEntry(
        "encoder_int8", ONNX, failed={PRINT.key: Failure("int8: 0.3 off its golden vectors")}
    )
    (tmp_path / engines.REPORT).write_bytes(msgspec.json.encode(EngineReport(1, [entry])))
    with pytest.raises(BackendError, match=r"int8: 0.3 off its golden vectors"):
        engines.find(tmp_path, ONNX, ORIN)
    (tmp_path / engines.REPORT).write_bytes(b"{")
    with pytest.raises(BackendError, match=r"there is no engine in"):
        engines.find(tmp_path, ONNX, ORIN)


def test_the_key_changes_with_any_part_of_the_fingerprint() -> None:
    changed = [
        msgspec.structs.replace(PRINT, **{name: value})
        for name, value in {
            "onnx": "b" * 64,
            "precision": "fp16",
            "flags": ["INT8"],
            "shapes": {"input": [1, 3, 96, 96]},
        }.items()
    ]
    changed += [
        msgspec.structs.replace(PRINT, place=msgspec.structs.replace(ORIN, **{name: value}))
        for name, value in OTHERS.items()
    ]
    keys = {fingerprint.key for fingerprint in (PRINT, *changed)}
    assert len(keys) == 1 + len(Fingerprint.__struct_fields__) - 1 + len(
        EnginePlace.__struct_fields__
    )


def test_an_engine_that_others_could_have_written_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, engines.pack(header(), PLAN))
    path.chmod(0o646)
    with pytest.raises(BackendError, match="written by somebody else"):
        engines.find(tmp_path, ONNX, ORIN)


def test_a_trial_that_never_ended_is_not_repeated_at_the_next_start(tmp_path: Path) -> None:
    mark = tmp_path / engines.TRYING
    with engines.trial(tmp_path) as folder:
        assert (folder, mark.read_text()) == (tmp_path, str(os.getpid()))
    assert not mark.exists()
    ended = subprocess.Popen(["true"])
    ended.wait()
    mark.write_text(str(ended.pid))
    with engines.trial(tmp_path) as folder:
        assert folder == mark
    with engines.trial(tmp_path) as folder:
        assert folder == tmp_path
    mark.write_text("1")  # of somebody who lives: not a trial that ended
    with engines.trial(tmp_path) as folder:
        assert folder == tmp_path
    with engines.trial(tmp_path / "none") as folder:
        assert not folder.exists()
