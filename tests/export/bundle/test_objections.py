"""What speaks against signing a bundle, and what its manifest warns of."""

from __future__ import annotations

import msgspec
import pytest

from ostiary.export.bundle import objections
from ostiary.export.records.results import EncoderMeasurements, Gate, GateLimits
from tests.support import made_verifier
from tests.support.export import measured
from tests.support.export.measured import FLOAT, INT8, manifest, table

LOW = "recognises 41 % of people at FMR 1e-3, 90 % are needed"
TRAINING = "it is UNPROVEN that training made the encoder better: so and so"
STRICT = GateLimits(least_tar=1.0)


def gate(**changes: object) -> EncoderMeasurements:
    return EncoderMeasurements(table(), measured.gate(**changes), measured.curves())


@pytest.mark.parametrize("sign_weak", [False, True])
def test_a_good_bundle_is_signed_and_warns_of_nothing(sign_weak: bool) -> None:
    assert objections.against(manifest(), gate(), sign_weak) == []
    assert objections.warnings(manifest(), gate(), sign_weak) == []


def test_a_weak_encoder_is_signed_only_on_request_and_the_manifest_says_so() -> None:
    weak = gate(passed=False, weak=[LOW])
    assert objections.against(manifest(), weak, sign_weak=False) == [f"its encoder {LOW}"]
    assert objections.warnings(manifest(), weak, sign_weak=False) == []
    assert objections.against(manifest(), weak, sign_weak=True) == []
    told = f"the encoder {LOW}; signed by --sign-weak"
    assert objections.warnings(manifest(), weak, sign_weak=True) == [told]


def test_no_request_signs_int8_that_is_not_faithful() -> None:
    failed = gate(passed=False, weak=[LOW], failures=["it loses .3"])
    assert objections.against(manifest(), failed, sign_weak=True) == [
        "its gate failed: it loses .3"
    ]
    assert objections.warnings(manifest(), failed, sign_weak=True) == []
    other = gate(int8_sha256="0" * 64)
    (reason,) = objections.against(manifest(), other, sign_weak=True)
    assert "other encoder files" in reason
    (reason,) = objections.against(manifest(), EncoderMeasurements(table()), sign_weak=True)
    assert "was not compared" in reason


def test_a_float_bundle_is_judged_by_its_curve_and_without_one_by_nothing() -> None:
    alone = manifest(int8=False)
    curve = measured.curves()
    assert objections.against(alone, EncoderMeasurements(curve=curve), sign_weak=False) == []
    strict = EncoderMeasurements(curve=curve, limits=STRICT)
    (reason,) = objections.against(alone, strict, sign_weak=False)
    assert "its encoder recognises 99 % of people at FMR 1e-3, 100 % are needed" in reason
    assert objections.against(alone, strict, sign_weak=True) == []
    (told,) = objections.warnings(alone, strict, sign_weak=True)
    assert told.endswith("signed by --sign-weak")
    assert objections.against(alone, EncoderMeasurements(limits=STRICT), sign_weak=False) == []


def test_what_was_insisted_on_is_in_the_manifest() -> None:
    head = made_verifier.made(FLOAT, 512, int8=INT8)
    head = msgspec.structs.replace(head, insisted="its AUC is low")
    both = EncoderMeasurements(table("6 photos"), measured.gate(), measured.curves(), verifier=head)
    assert objections.warnings(manifest(), both, sign_weak=False) == [
        "int8 was calibrated on unsuitable photos (6 photos); accepted by --insist",
        "the logistic head failed its checks (its AUC is low); accepted by --insist",
    ]


def test_a_warning_goes_with_its_fault_and_the_trainings_stays() -> None:
    weak = gate(passed=False, weak=[LOW])
    weak = EncoderMeasurements(table("6 photos"), weak.gate, weak.curve)
    held = msgspec.structs.replace(manifest(), warnings=[TRAINING])
    warned = objections.warnings(held, weak, sign_weak=True)
    assert [warned[0], len(warned)] == [TRAINING, 3]
    again = msgspec.structs.replace(held, warnings=warned)
    assert objections.warnings(again, weak, sign_weak=True) == warned
    assert objections.warnings(again, gate(), sign_weak=False) == [TRAINING]
    assert isinstance(weak.gate, Gate)
