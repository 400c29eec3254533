"""The self-test's judgement of engines, golden vectors and latency, verdict by verdict."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from ostiary.edge.core.rules.evidence import Mode
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BackendError
from ostiary.edge.runtime import engines as files
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.engines import EnginePlace, Fingerprint, Header, Proof
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.edge.runtime.runner import Runner
from ostiary.edge.sections import BundleSection, RecognitionSection
from ostiary.edge.selftest import engines, models
from ostiary.edge.selftest.door import DoorUnderTest
from ostiary.edge.selftest.engines import EngineState
from ostiary.edge.selftest.report import CheckVerdict
from ostiary.edge.selftest.thermal import Thermal
from tests.support.doors.under_test import door_on
from tests.support.two_bundles import Two, warn

OK, WARN, FAIL, SKIPPED = CheckVerdict
ORIN = EnginePlace("tensorrt 10.3.0.26", "12.6", "sm_87", "Orin")
COOL = Thermal({}, {}, [], {}, {}, {})


def ready(name: str, state: str = "ready") -> EngineState:
    return EngineState(name, "int8", state, "" if state == "ready" else "of elsewhere")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("states", "asked_for", "verdict"),
    [
        ([ready("pad")], True, OK),
        ([ready("pad", "none needed")], False, OK),
        ([ready("pad"), ready("encoder", "stale")], False, WARN),
        ([ready("pad"), ready("encoder", "missing")], True, FAIL),
    ],
)
def test_engines(states: list[EngineState], asked_for: bool, verdict: CheckVerdict) -> None:
    found = engines.check(lambda: states, asked_for)
    assert found.verdict is verdict
    assert len(found.details["engines"]) == len(states)
    assert ("of elsewhere" in found.finding) == (verdict in (WARN, FAIL))


def test_without_tensorrt_there_are_no_engines_unless_the_profile_asks_for_it(
    bundle_dir: Path, tmp_path: Path
) -> None:
    survey = engines.survey_of(door_on(tmp_path, bundle_dir))
    assert engines.check(None, asked_for=False).verdict is SKIPPED
    assert engines.check(None, asked_for=True).verdict is FAIL
    assert survey is None, "TensorRT is here: this test needs a machine without it"


def test_the_engines_of_a_folder_are_ready_stale_or_missing(bundle: Bundle, tmp_path: Path) -> None:
    manifest = bundle.manifest
    for name, place in (
        ("detector", ORIN),
        ("pad", EnginePlace("tensorrt 8.6.2", "12.2", "sm_87", "O")),
    ):
        onnx = manifest.files[manifest.models.items()[name].file]
        made = Fingerprint(onnx, place, "int8", [], {})
        header = Header(1, made, hashlib.sha256(b"plan").hexdigest(), 1.0, Proof(0.0, 0.1), None)
        path = files.engine_file(tmp_path, onnx, "int8")
        path.write_bytes(files.pack(header, b"plan"))
    found = {state.model: state for state in engines.surveyed(bundle, tmp_path, ORIN)}
    assert (found["detector"].state, found["detector"].precision) == ("ready", "int8")
    assert found["pad"].state == "stale"
    assert "8.6.2" in found["pad"].problem
    assert found["encoder"].state == "missing"
    needless = engines.survey(bundle, tmp_path, needless=True)
    assert {state.state for state in needless} == {"none needed"}


def test_without_a_driver_every_engine_is_missing_and_says_why(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise BackendError("no CUDA driver")

    monkeypatch.setattr(engines, "load_tensorrt", absent)
    found = engines.survey(bundle, tmp_path, needless=False)
    assert {(s.state, s.problem) for s in found} == {("missing", "no CUDA driver")}


@pytest.mark.parametrize(("backend", "verdict"), [("auto", WARN), ("onnxruntime", FAIL)])
def test_a_backend_that_computes_something_else_is_named(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str,
    verdict: CheckVerdict,
) -> None:  # fmt: skip
    real = golden.outputs
    monkeypatch.setattr(golden, "outputs", lambda *given: real(*given) + 1)
    profile = door_on(tmp_path, bundle_dir)
    door = DoorUnderTest(profile.profile, BundleSection(path=bundle_dir, backend=backend), 1.0)  # type: ignore[arg-type]
    found = models.check_golden(door, "onnxruntime")
    assert found.verdict is verdict
    assert "off its golden vectors" in found.finding


def test_a_backend_without_its_int8_still_reproduces_the_rest(
    bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = golden.outputs

    def spoiled(runner: Runner, name: str, model: ModelEntry, images: NDArray[np.uint8]) -> Floats:
        return real(runner, name, model, images) + (name == "encoder_int8")

    monkeypatch.setattr(golden, "outputs", spoiled)
    found = models.check_golden(door_on(tmp_path, bundle_dir), "openvino")
    assert found.verdict is WARN
    assert "openvino int8: " in found.finding
    assert set(found.details["off"]) == {"detector", "landmarks", "pad", "encoder"}


def test_the_quantiles_are_of_frames_after_the_first() -> None:
    ticks = iter(range(100_000))
    seen: list[int] = []

    def look(number: int) -> dict[str, float]:
        seen.append(number)
        return {"detect": 1000.0 if number < models.WARM_UP else float(number)}

    found = models.timed(look, lambda: next(ticks) * 1e-3)
    assert len(seen) == models.WARM_UP + models.FRAMES
    assert found["detect"]["p50"] == pytest.approx(models.WARM_UP + (models.FRAMES - 1) / 2)
    assert found["frame"] == {"p50": 1.0, "p95": 1.0, "p99": 1.0, "frames": models.FRAMES}


def test_a_slow_board_is_timed_for_seconds_not_for_all_frames() -> None:
    ticks = iter(range(100_000))
    found = models.timed(lambda number: {}, lambda: float(next(ticks)))
    assert found["frame"]["frames"] == models.LEAST_FRAMES


@pytest.mark.parametrize(
    ("p95", "refused", "after", "part"),
    [
        (66.0, (), COOL, ""),
        (67.0, (), COOL, "15 frames a second leave 67 ms"),
        (5.0, ("tensorrt: no engine",), COOL, "not used: tensorrt: no engine"),
        (5.0, (), Thermal({}, {}, ["cpu-throttle-alert"], {}, {}, {}), "cpu-throttle-alert is on"),
    ],
)
def test_latency(
    tmp_path: Path, p95: float, refused: tuple[Any, ...], after: Thermal, part: str
) -> None:
    details = {
        "backend": "openvino", "precision": "int8", "refused_backends": refused,
        "stages_ms": {"frame": {"p50": 4.0, "p95": p95, "p99": 70.0}}, "daemon_beside": False,
    }  # fmt: skip
    found = models.judge_latency(door_on(tmp_path), details, COOL, after)
    assert found.verdict is (WARN if part else OK)
    assert part in found.finding


def test_a_head_that_the_profile_asks_for_must_be_in_the_bundle(
    bundle_dir: Path, tmp_path: Path
) -> None:
    door = door_on(tmp_path, bundle_dir)
    assert models.check_bundle(door).details["verifier"] is False
    asked = RecognitionSection(mode=Mode.VERIFY, verifier=True)
    asking = msgspec.structs.replace(door.config(), recognition=asked)
    found = models.check_bundle(DoorUnderTest(asking, asking.bundle, 0.2))
    assert found.verdict is FAIL
    assert "no verifier.json" in found.finding


def test_what_the_bundle_warns_of_is_a_warning(tmp_path: Path) -> None:
    two = Two(tmp_path)
    assert models.check_bundle(DoorUnderTest(two.config, two.config.bundle, 0.2)).verdict is OK
    warn(two.now, "the encoder is weak")
    found = models.check_bundle(DoorUnderTest(two.config, two.config.bundle, 0.2))
    assert (found.verdict, found.details["warnings"]) == (WARN, ["the encoder is weak"])
    assert found.finding.endswith("; the encoder is weak")
