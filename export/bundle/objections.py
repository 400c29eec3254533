"""Why a bundle may not be signed, and what its manifest warns of if it is signed all the same."""

from __future__ import annotations

from ostiary.edge.runtime.bundle import INT8
from ostiary.edge.runtime.manifest import Manifest
from ostiary.export.judge import floor
from ostiary.export.records.results import EncoderMeasurements

SIGNED_WEAK, INSISTED = "signed by --sign-weak", "accepted by --insist"
"""The last words of a warning name the flag by which a person accepted the fault."""


def against(manifest: Manifest, measured: EncoderMeasurements, sign_weak: bool) -> list[str]:
    """The reasons why a bundle may not be signed; empty if it may.

    With `sign_weak` an encoder that recognises too few people is no such reason.
    """
    found = _unfaithful(manifest, measured)
    return found if found or sign_weak else [f"its encoder {item}" for item in weak(measured)]


def weak(measured: EncoderMeasurements) -> list[str]:
    """What the float encoder misses of the floor, as sentences without their subject.

    Without int8 there is no gate, and its curve alone is judged; without a curve nothing is.
    """
    if measured.gate is not None:
        return measured.gate.weak
    return [] if measured.curve is None else floor.of_curve(measured.curve, measured.limits)


def warnings(manifest: Manifest, measured: EncoderMeasurements, sign_weak: bool) -> list[str]:
    """What the manifest of these measurements warns of.

    The warnings that came with the encoder, such as its training's, stay as they are. Those that a
    flag accepted follow from the measurements alone, so an old one does not outlive its fault.
    """
    found = [item for item in manifest.warnings if not item.endswith((SIGNED_WEAK, INSISTED))]
    if measured.table is not None and measured.table.insisted:
        unfit = measured.table.insisted
        found.append(f"int8 was calibrated on unsuitable photos ({unfit}); {INSISTED}")
    if measured.verifier is not None and measured.verifier.insisted:
        failed = measured.verifier.insisted
        found.append(f"the logistic head failed its checks ({failed}); {INSISTED}")
    if sign_weak and not against(manifest, measured, sign_weak):
        found += [f"the encoder {item}; {SIGNED_WEAK}" for item in weak(measured)]
    return found


def _unfaithful(manifest: Manifest, measured: EncoderMeasurements) -> list[str]:
    int8, gate = manifest.models.items().get(INT8), measured.gate
    if int8 is None:
        return []
    if gate is None:
        return ["its int8 encoder was not compared with the float one (ostiary-export verify)"]
    if (gate.encoder_id, gate.int8_sha256) != (manifest.encoder_id, manifest.files[int8.file]):
        return ["its gate was measured on other encoder files than it holds"]
    return [f"its gate failed: {item}" for item in gate.failures]
