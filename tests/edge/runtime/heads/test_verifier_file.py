"""A bundle's verifier.json: covered by the signature, and refused if it is unusable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from ostiary.edge.core.scores.calibration import threshold
from ostiary.edge.errors import BundleError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.heads import verifier_file
from ostiary.edge.runtime.heads.verifier_file import VERIFIER, VerifierFile
from tests.support import made_verifier, tiny_bundle


def hold(folder: Path, raw: bytes) -> Bundle:
    """The tiny bundle with a verifier.json, signed, as a device loads it."""
    names = [path.name for path in tiny_bundle.make(folder).iterdir()]
    files = {n: (folder / n).read_bytes() for n in names if n not in ("manifest.json", "SIGNATURE")}
    (folder / VERIFIER).write_bytes(raw)
    tiny_bundle.write_manifest(folder, files | {VERIFIER: raw})
    return bundles.load(folder, tiny_bundle.KEYS)


def encoder_of(folder: Path) -> str:
    return bundles.read(tiny_bundle.make(folder)).encoder_id


@pytest.fixture
def good(tmp_path: Path) -> VerifierFile:
    return made_verifier.made(encoder_of(tmp_path / "first"), 3)


def test_a_verifier_is_read_back_with_its_head_and_threshold(
    tmp_path: Path, good: VerifierFile
) -> None:
    loaded = hold(tmp_path / "b", verifier_file.to_text(good))
    assert loaded.head() == good
    head, curve = loaded.head().head(), loaded.head().curve()
    assert (head.weights.tolist(), head.bias) == (good.weights, good.bias)
    least = threshold(curve, 1e-3, 1)
    assert least.supported
    # 1 in 1000 of a normal distribution around -4 is above 3.09 deviations.
    assert least.tau == pytest.approx(-4 + 3.09, abs=0.15)
    assert curve.fmr(least.tau) <= 1e-3 < curve.fmr(least.tau - 0.1)


def test_a_bundle_without_a_verifier_names_the_command_that_makes_one(tmp_path: Path) -> None:
    loaded = bundles.read(tiny_bundle.make(tmp_path / "b"))
    with pytest.raises(BundleError, match=r"no verifier\.json") as caught:
        loaded.head()
    assert "ostiary-train verifier" in caught.value.hint


def test_the_signature_covers_the_verifier(tmp_path: Path, good: VerifierFile) -> None:
    raw = verifier_file.to_text(good)
    hold(tmp_path / "b", raw)
    (tmp_path / "b" / VERIFIER).write_bytes(raw.replace(b"-8.0", b"-7.0", 1))
    with pytest.raises(BundleError, match=r"verifier\.json is not the file that was exported"):
        bundles.load(tmp_path / "b", tiny_bundle.KEYS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_id": "f" * 64}, "another encoder"),
        ({"weights": [-1.0, -1.0]}, "2 weights, expected 3"),
        ({"weights": [-1.0, None, -1.0]}, r"\$\.weights"),
        ({"schema": 2}, "schema 2"),
        ({"prior": 1.0}, r"\$\.prior"),
        ({"logits": [0.0, 1.0]}, "not a curve"),
        ({"int8_sha256": "b" * 64}, "does not say which int8"),
        ({"people": 49}, "evaluated on 49 people with several photos, at least 50 are"),
        ({"extra": 1}, "unknown field `extra`"),
    ],
)
def test_one_that_can_judge_nobody_is_refused(
    tmp_path: Path, good: VerifierFile, changes: dict[str, Any], message: str
) -> None:
    raw = msgspec.json.encode(msgspec.to_builtins(good) | changes)
    with pytest.raises(BundleError, match=message):
        hold(tmp_path / "b", raw)


@pytest.mark.parametrize("word", [b"NaN", b"1e999", b"Infinity"])
def test_a_weight_that_is_no_number_is_refused(
    tmp_path: Path, good: VerifierFile, word: bytes
) -> None:
    raw = verifier_file.to_text(good).replace(b"-8.0", word, 1)
    with pytest.raises(BundleError, match=r"verifier\.json"):
        hold(tmp_path / "b", raw)
    broken = msgspec.structs.replace(good, bias=float("nan"))
    with pytest.raises(BundleError, match="not a number"):
        broken.check(good.encoder_id, 3, None)


def test_too_few_pairs_are_no_evidence(good: VerifierFile) -> None:
    few = msgspec.structs.replace(good.float_float.counts, impostors=29_999)
    judged = msgspec.structs.replace(good.float_float, counts=few)
    with pytest.raises(BundleError, match=r"verifier\.json was measured on 29999 impostor pairs"):
        msgspec.structs.replace(good, float_float=judged).check(good.encoder_id, 3, None)


def test_evaluated_with_an_unknown_int8_encoder_it_is_refused(good: VerifierFile) -> None:
    judged = msgspec.structs.replace(good, float_int8=good.float_float)
    with pytest.raises(BundleError, match="does not say which int8"):
        judged.check(good.encoder_id, 3, None)


def test_its_fnmr_holds_at_the_threshold_that_a_door_uses() -> None:
    head = made_verifier.made("a" * 64, 3, int8="b" * 64)
    for comparison in ("float_float", "float_int8"):
        counts = getattr(head, comparison).counts
        at = next(i for i, n in enumerate(counts.impostor_at_or_above) if n <= 40)
        assert head.fnmr(comparison) == counts.genuine_below[at] / 2000
    assert head.fnmr("float_float") < head.fnmr("float_int8")


def test_evaluated_with_another_int8_encoder_it_is_refused_and_without_any_unused() -> None:
    with_int8 = made_verifier.made("a" * 64, 3, int8="b" * 64)
    with_int8.check("a" * 64, 3, "b" * 64)
    with_int8.check("a" * 64, 3, None)
    with pytest.raises(BundleError, match="another int8 encoder"):
        with_int8.check("a" * 64, 3, "c" * 64)
    assert np.all(with_int8.curve("float_int8").scores == with_int8.logits)
    with pytest.raises(BundleError, match="no float_int8 comparison"):
        made_verifier.made("a" * 64, 3).curve("float_int8")
