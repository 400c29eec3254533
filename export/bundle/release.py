"""The last stages of a bundle: store its measurements, write the report, sign it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec

from ostiary.edge.errors import BundleError
from ostiary.edge.files import write_atomically
from ostiary.edge.models.timing import compare
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import golden as proof
from ostiary.edge.runtime import verifier_file
from ostiary.edge.runtime.bundle import INT8, MANIFEST, Bundle, Manifest, sha256
from ostiary.edge.runtime.det import DET_CURVE
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.edge.runtime.verifier_file import VERIFIER
from ostiary.export.bundle import signing
from ostiary.export.bundle.staging import copied
from ostiary.export.records import calibration_table as tables
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import EncoderMeasurements, Gate, LayerCosts
from ostiary.export.report import bundle_report

GATE, TABLE, LAYERS, REPORT = "gate.json", tables.FILE, "layers.json", "report.html"
Say = Callable[[str], None]


def release(bundle: Bundle, measured: EncoderMeasurements, key: Path | None, say: Say) -> None:
    """Store measurements and report in a bundle, prove its golden vectors, sign it if allowed.

    If `objections` has reasons against signing, the bundle is complete but unsigned, and no device
    runs it. Raises BundleError if a model does not reproduce its golden vectors.
    """
    say("report")
    files = {
        name: msgspec.json.format(msgspec.json.encode(item), indent=1) + b"\n"
        for name, item in ((GATE, measured.gate), (LAYERS, measured.layers))
        if item is not None
    }
    if measured.table is not None:
        files[TABLE] = tables.to_text(measured.table)
    if measured.curve is not None:
        files[DET_CURVE] = msgspec.json.encode(measured.curve) + b"\n"
    if measured.verifier is not None:
        files[VERIFIER] = verifier_file.to_text(measured.verifier)
    files[REPORT] = bundle_report.render(
        bundle.manifest,
        measured.gate,
        measured.curve,
        measured.layers,
        measured.table,
        compare(bundle, turns=3, faces=12),
        measured.verifier,
    ).encode()
    (bundle.path / SIGNATURE).unlink(missing_ok=True)
    write_manifest(bundle.path, bundle.manifest, files)
    whole = bundles.read(bundle.path)
    say("proving the golden vectors")
    proof.prove(whole, "auto", threads=1)
    problems = objections(whole)
    if problems:
        say(f"NOT SIGNED: {'; '.join(problems)}")
    else:
        seed = signing.read_seed(key or signing.ensure_default_key(say))
        say(f"signed by {signing.sign_bundle(bundle.path, seed)[:16]}")


def objections(bundle: Bundle) -> list[str]:
    """The reasons why a bundle may not be signed; empty if it may."""
    if INT8 not in bundle.manifest.models.items():
        return []
    gate = read_gate(bundle)
    if gate is None:
        return ["its int8 encoder was not compared with the float one (ostiary-export verify)"]
    int8 = bundle.model(INT8).file
    if (gate.encoder_id, gate.int8_sha256) != (
        bundle.encoder_id,
        bundle.manifest.files[int8],
    ):
        return ["its gate was measured on other encoder files than it holds"]
    return [] if gate.passed else [f"its gate failed: {item}" for item in gate.failures]


def read_gate(bundle: Bundle) -> Gate | None:
    """The gate stored in a bundle, None if there is none. Raises BundleError if it is damaged."""
    return _read(bundle, GATE, Gate)


def read_measured(bundle: Bundle) -> EncoderMeasurements:
    """Every measurement stored in a bundle. Raises BundleError if a file is damaged."""
    return EncoderMeasurements(
        _read(bundle, TABLE, Table),
        read_gate(bundle),
        bundle.measured,
        _read(bundle, LAYERS, LayerCosts),
        bundle.verifier,
    )


def attach(bundle: Bundle, file: Path, key: Path | None, say: Say) -> None:
    """Put a verifier into a bundle, replacing any it had, and sign the bundle as `release` does.

    Raises BundleError if the verifier belongs to another encoder; the bundle is then unchanged.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {file}: {error.strerror}", "ostiary-train verifier writes such a file"
        ) from error
    verifier = verifier_file.parse(raw, str(file))
    int8 = bundle.manifest.models.encoder_int8
    hashed = bundle.manifest.files[int8.file] if int8 else None
    verifier.check(bundle.encoder_id, bundle.dim, hashed)
    if hashed is not None:
        # `curve` raises if the comparison is missing: a door with int8 probes could not use the
        # head.
        verifier.curve("float_int8")
    if not objections(bundle):
        key = key or signing.ensure_default_key(say)
        # Read the key now, so that a missing one is reported before the long work.
        signing.read_seed(key)
    before, changed = signer(bundle), dataclasses.replace(read_measured(bundle), verifier=verifier)
    with copied(bundle.path) as folder:
        release(dataclasses.replace(bundle, path=folder), changed, key, say)
    after = signer(bundle)
    if before and after and before != after:
        say(f"the bundle was signed by {before[:16]}: devices must trust {after[:16]} now")


def signer(bundle: Bundle) -> str:
    """The key that a bundle's signature names, without a check of it; empty if it is unsigned."""
    file = bundle.path / SIGNATURE
    words = file.read_text("ascii", "replace").split() if file.is_file() else []
    return words[1] if len(words) > 1 else ""


def _read(bundle: Bundle, name: str, kind: type[tables.Found]) -> tables.Found | None:
    if name not in bundle.manifest.files:
        return None
    try:
        return msgspec.json.decode((bundle.path / name).read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{bundle.path / name}: {error}", "build the bundle again") from error


def write_manifest(folder: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
    """Write files into a bundle's folder, then the manifest with their hashes added."""
    for name, data in files.items():
        write_atomically(folder / name, data)
    hashes = manifest.files | {name: sha256(data) for name, data in files.items()}
    whole = msgspec.structs.replace(manifest, files=hashes)
    raw = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
    write_atomically(folder / MANIFEST, raw)
