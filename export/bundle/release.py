"""The last stages of a bundle: store its measurements, write the report, sign it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec

from ostiary.edge.errors import BundleError
from ostiary.edge.files import to_json, write_atomically
from ostiary.edge.models.timing import compare
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import golden as proof
from ostiary.edge.runtime.bundle import MANIFEST, SCHEMA, Bundle, sha256
from ostiary.edge.runtime.det import DET_CURVE
from ostiary.edge.runtime.heads import covered_file, pad_file, upright_file, verifier_file
from ostiary.edge.runtime.heads.covered_file import COVERED
from ostiary.edge.runtime.heads.pad_file import PAD_FILE
from ostiary.edge.runtime.heads.upright_file import UPRIGHT
from ostiary.edge.runtime.heads.verifier_file import VERIFIER
from ostiary.edge.runtime.manifest import Manifest
from ostiary.edge.runtime.signature import SIGNATURE
from ostiary.export.bundle import objections as reasons
from ostiary.export.bundle import signing
from ostiary.export.bundle.staging import copied
from ostiary.export.judge import floor
from ostiary.export.records import calibration_table as tables
from ostiary.export.records import limits_file
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import USUAL, EncoderMeasurements, Gate, LayerCosts
from ostiary.export.report import bundle_report

GATE, TABLE, LAYERS, REPORT = "gate.json", tables.FILE, "layers.json", "report.html"
Say = Callable[[str], None]


def release(
    bundle: Bundle,
    measured: EncoderMeasurements,
    key: Path | None,
    say: Say,
    sign_weak: bool = False,
) -> None:
    """Store measurements and report in a bundle, prove its golden vectors, sign it if allowed.

    If `objections` has reasons against signing, the bundle is complete but unsigned, and no device
    runs it. With `sign_weak` a weak encoder is no such reason; the manifest then warns of it, and
    the door says so at every start. Raises BundleError if a model does not reproduce its golden
    vectors.
    """
    say("report")
    manifest = _warned(bundle.manifest, measured, sign_weak)
    files = {
        name: to_json(item)
        for name, item in ((GATE, measured.gate), (LAYERS, measured.layers))
        if item is not None
    }
    if measured.table is not None:
        files[TABLE] = tables.to_text(measured.table)
    if measured.curve is not None:
        files[DET_CURVE] = msgspec.json.encode(measured.curve) + b"\n"
    if measured.verifier is not None:
        files[VERIFIER] = verifier_file.to_text(measured.verifier)
    if measured.limits != USUAL:
        files[limits_file.FILE] = limits_file.to_text(measured.limits)
    files[REPORT] = bundle_report.render(
        manifest,
        measured.gate,
        measured.curve,
        measured.layers,
        measured.table,
        compare(bundle, turns=3, faces=12),
        measured.verifier,
        reasons.weak(measured),
    ).encode()
    (bundle.path / SIGNATURE).unlink(missing_ok=True)
    write_manifest(bundle.path, manifest, files)
    whole = bundles.read(bundle.path)
    say("proving the golden vectors")
    proof.prove(whole, "auto", threads=1)
    problems = objections(whole, sign_weak)
    if problems:
        say(f"NOT SIGNED: {'; '.join(problems)}")
    else:
        seed = signing.read_seed(key or signing.ensure_default_key(say))
        say(f"signed by {signing.sign_bundle(bundle.path, seed)[:16]}")


def objections(bundle: Bundle, sign_weak: bool = False) -> list[str]:
    """The reasons why a bundle may not be signed; empty if it may.

    With `sign_weak` an encoder that recognises too few people is no such reason.
    """
    return reasons.against(bundle.manifest, read_measured(bundle), sign_weak)


def sign(bundle: Bundle, key: Path | None, say: Say, sign_weak: bool = False) -> str:
    """Sign a finished bundle; returns the public key as hex. Raises BundleError if it may not be.

    If the manifest must warn of something new, the bundle is released again.
    """
    measured = read_measured(bundle)
    problems = reasons.against(bundle.manifest, measured, sign_weak)
    if problems:
        asked = "" if reasons.against(bundle.manifest, measured, sign_weak=True) else "sign_weak"
        raise BundleError(
            f"{bundle.path} is not signed: {'; '.join(problems)}",
            "a weak encoder is signed only if you ask for it" if asked else "",
            option=asked,
        )
    key = key or signing.ensure_default_key(say)
    seed = signing.read_seed(key)
    if _warned(bundle.manifest, measured, sign_weak) == bundle.manifest:
        return signing.sign_bundle(bundle.path, seed)
    with copied(bundle.path) as folder:
        release(dataclasses.replace(bundle, path=folder), measured, key, say, sign_weak)
    return signer(bundle)


def _warned(manifest: Manifest, measured: EncoderMeasurements, sign_weak: bool) -> Manifest:
    """The manifest with the warnings that these measurements call for."""
    warnings = reasons.warnings(manifest, measured, sign_weak)
    if warnings == manifest.warnings:
        return manifest
    return msgspec.structs.replace(manifest, schema=max(manifest.schema, SCHEMA), warnings=warnings)


def read_gate(bundle: Bundle) -> Gate | None:
    """The gate stored in a bundle, None if there is none. Raises BundleError if it is damaged.

    Its floor is judged again, because a gate may be older than the floor.
    """
    gate = _read(bundle, GATE, Gate)
    return None if gate is None else floor.judged(gate, bundle.measured, gate.limits)


def read_measured(bundle: Bundle) -> EncoderMeasurements:
    """Every measurement stored in a bundle. Raises BundleError if a file is damaged."""
    return EncoderMeasurements(
        _read(bundle, TABLE, Table),
        read_gate(bundle),
        bundle.measured,
        _read(bundle, LAYERS, LayerCosts),
        bundle.verifier,
        limits_file.in_bundle(bundle),
    )


def attach(bundle: Bundle, file: Path, key: Path | None, say: Say, sign_weak: bool = False) -> None:
    """Put a verifier or a head into a bundle, replacing any it had, and sign the bundle as
    `release` does.

    Raises BundleError if the file belongs to other models; the bundle is then unchanged.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {file}: {error.strerror}",
            "`ostiary-train verifier`, `ostiary pad fit` and the likes of `fit-upright` write them",
        ) from error
    added, measured = _attached(bundle, raw, str(file))
    if not objections(bundle, sign_weak):
        key = key or signing.ensure_default_key(say)
        # Read the key now, so that a missing one is reported before the long work.
        signing.read_seed(key)
    before = signer(bundle)
    with copied(bundle.path) as folder:
        write_manifest(folder, bundles.read(folder).manifest, added)
        release(bundles.read(folder), measured, key, say, sign_weak)
    after = signer(bundle)
    if before and after and before != after:
        say(f"the bundle was signed by {before[:16]}: devices must trust {after[:16]} now")


def _attached(
    bundle: Bundle, raw: bytes, where: str
) -> tuple[dict[str, bytes], EncoderMeasurements]:
    """What a file adds to a bundle: files as they are, and measurements. Raises BundleError."""
    measured = read_measured(bundle)
    if b'"landmarks_sha256"' in raw:
        head = upright_file.parse(raw, where)
        head.check(bundle.manifest.files[bundle.model("landmarks").file])
        return {UPRIGHT: upright_file.to_text(head)}, measured
    if b'"judged_people"' in raw:
        found = covered_file.parse(raw, where)
        found.check()
        return {COVERED: covered_file.to_text(found)}, measured
    if b'"asked_bpcer"' in raw:
        rules = pad_file.parse(raw, where)
        rules.check(bundle.manifest.model_hashes())
        return {PAD_FILE: pad_file.to_text(rules)}, measured
    verifier = verifier_file.parse(raw, where)
    int8 = bundle.manifest.models.encoder_int8
    hashed = bundle.manifest.files[int8.file] if int8 else None
    verifier.check(bundle.encoder_id, bundle.dim, hashed)
    if hashed is not None:
        # `curve` raises if the comparison is missing: a door with int8 probes could not use the
        # head.
        verifier.curve("float_int8")
    return {}, dataclasses.replace(measured, verifier=verifier)


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
