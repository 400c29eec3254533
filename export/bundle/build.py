"""Builds a bundle from a plan: fetch, convert, calibrate, quantize, test, sign. If a stage fails,
nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import onnx

from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import (
    FLOAT_FILE,
    INT8_FILE,
    MANIFEST,
    SCHEMA,
    WITH_FURTHER,
    Bundle,
    sha256,
)
from ostiary.edge.runtime.det import DetFile
from ostiary.edge.runtime.heads import covered_file, pad_file, upright_file
from ostiary.edge.runtime.heads.covered_file import COVERED
from ostiary.edge.runtime.heads.pad_file import PAD_FILE
from ostiary.edge.runtime.heads.upright_file import UPRIGHT
from ostiary.edge.runtime.heads.verifier_file import VERIFIER
from ostiary.edge.runtime.manifest import Manifest, Models
from ostiary.export.bundle import encoder, golden, projection
from ostiary.export.bundle.int8_stages import GateVerdict, Int8Stages
from ostiary.export.bundle.release import release, write_manifest
from ostiary.export.bundle.staging import staged
from ostiary.export.covered.record import recorded as covered_head
from ostiary.export.faces import excluded, learned
from ostiary.export.faces.crops import Crops, data_set_name, read_crops
from ostiary.export.graphs import normal_form
from ostiary.export.int8 import calibrate
from ostiary.export.networks.convert import convert
from ostiary.export.plan import fetch
from ostiary.export.plan.options import Options
from ostiary.export.plan.recipe import BuildPlan
from ostiary.export.plan.weights import FOUR, RecipeModel
from ostiary.export.records import pad_record
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import EncoderMeasurements, GateLimits
from ostiary.export.upright.record import recorded

Say = Callable[[str], None]
PROJECTED_ON = 1024


def build(plan: BuildPlan, out: Path, options: Options, say: Say) -> Bundle:
    """Write the bundle of a plan to `out`, and sign it if its gate passed.

    A bundle already at `out` is replaced; anything else there is refused and left alone.
    Raises OstiaryError; `out` is then as it was before.
    """
    _refuse_to_overwrite(out)
    if options.exclude is not None:
        _check_exclusions(options.exclude, options.judged_on)
    if (out / VERIFIER).is_file():
        # The head may belong to another encoder, and it was never evaluated with this int8 encoder.
        say(f"the {VERIFIER} in {out} is not kept: ostiary-export attach adds one")
    with staged(out) as folder:
        _Build(plan, options, folder, say).run()
    return bundles.read(out)


def _refuse_to_overwrite(out: Path) -> None:
    if out.is_dir() and (not any(out.iterdir()) or (out / MANIFEST).is_file()):
        return
    if out.exists():
        raise BundleError(f"{out} exists and is not a bundle", "give an empty or a new directory")


def _check_exclusions(path: Path, faces: Path | None) -> None:
    """Read the list before the long stages begin, and refuse it if nothing would be left out."""
    excluded.read(path)
    if faces is None:
        raise PhotoError(f"{path} names photos, and there are none", "give faces", option="faces")


class _Build:
    """One build: runs its stages in order, and reports each one as it starts."""

    def __init__(self, plan: BuildPlan, options: Options, folder: Path, say: Say) -> None:
        self._plan, self._options, self._folder, self._say = plan, options, folder, say
        self._notes: list[str] = []
        self._left_out: list[str] = []
        self._crops: dict[Path, Crops] = {}

    def run(self) -> None:
        model = encoder.float_encoder(self._plan, self._options.weights, self._say)
        bundle = self._in_float(model)
        if self._options.dim is not None:
            model = self._projected(model, self._options.dim)
            bundle = self._in_float(model)
        if not self._options.int8:
            self._say("int8: not built, as requested")
            measured = EncoderMeasurements(curve=self._curve(bundle), limits=self._limits)
            self._release(bundle, measured)
            return
        self._to_int8(bundle, model)

    def _to_int8(self, bundle: Bundle, model: onnx.ModelProto) -> None:
        stages = Int8Stages(
            self._plan, self._options, bundle.encoder_id, self._left_out, self._read, self._say
        )
        table = stages.table(model)
        quantized = stages.quantized(model, table)
        verdict = stages.verdict(model, quantized, table)
        layers = stages.layers(model, table)
        if verdict is not None and not verdict.gate.faithful and layers is not None:
            table, verdict = stages.search(model, table, verdict, layers)
            quantized = stages.quantized(model, table)
            layers = msgspec.structs.replace(layers, floats=dict(table.floats))
        whole = self._in_int8(bundle, quantized, verdict, table)
        measured = EncoderMeasurements(table, layers=layers, limits=self._limits)
        if verdict is not None:
            measured = replace(measured, gate=verdict.gate, curve=verdict.det)
        self._release(whole, measured)

    @property
    def _limits(self) -> GateLimits:
        return self._options.limits_of(self._plan)

    def _release(self, bundle: Bundle, measured: EncoderMeasurements) -> None:
        options = self._options
        release(bundle, measured, options.key, self._say, options.sign_weak)

    def _in_float(self, model: onnx.ModelProto) -> Bundle:
        """Write the float models and their golden vectors into the staged folder."""
        hashes, entries = {}, {}
        for name, item in self._plan.recipe.models.items():
            if name == "encoder":
                data, entry = normal_form.to_bytes(model), encoder.entry(self._plan, FLOAT_FILE)
            else:
                data, entry = self._other(name, item), item.entry
            (self._folder / entry.file).write_bytes(data)
            hashes[entry.file], entries[name] = sha256(data), entry
        further = {name: entry for name, entry in entries.items() if name not in FOUR}
        four = {name: entries[name] for name in FOUR}
        manifest = Manifest(
            schema=WITH_FURTHER if further else SCHEMA,
            recipe=self._plan.name,
            encoder_id=hashes[FLOAT_FILE],
            dim=encoder.dim(model),
            models=Models(**four, further_pad=further),
            files=hashes,
            sources=encoder.sources(self._plan),
            notes=self._notes,
            warnings=self._plan.warnings,
        )
        self._say("golden vectors")
        bundle = Bundle(self._folder, manifest, None)
        files = {bundles.GOLDEN: golden.make(bundle), COVERED: covered_file.to_text(covered_head())}
        if head := recorded(hashes[entries["landmarks"].file]):
            files[UPRIGHT] = upright_file.to_text(head)
        else:
            self._say("upright: no head for this landmark model: ostiary-export fit-upright")
        if rules := pad_record.recorded({name: hashes[e.file] for name, e in entries.items()}):
            files[PAD_FILE] = pad_file.to_text(rules)
        else:
            self._say("pad: no thresholds for these models: ostiary pad fit")
        if self._plan.learned:
            # The list lets later evaluations of this bundle leave out the people on these photos.
            files[learned.FILE] = learned.to_text(self._plan.learned)
        write_manifest(self._folder, manifest, files)
        return bundles.read(self._folder)

    def _other(self, name: str, item: RecipeModel) -> bytes:
        """The ONNX file of a model that is not the encoder."""
        self._say(f"{name}: {item.weights.name}")
        source = fetch.of_plan(self._plan, name, self._options.weights)
        if item.weights.graph is None:
            return source.read_bytes()
        return convert(source, item.weights.graph, item.entry)

    def _projected(self, model: onnx.ModelProto, dim: int) -> onnx.ModelProto:
        folder = self._options.calibrate or self._options.faces
        if folder is None:
            raise PhotoError(
                "shorter templates need faces to fit their projection on",
                "give a folder of faces",
                option="calibrate",
            )
        chosen = calibrate.choose(self._read(folder), PROJECTED_ON)
        self._say(f"projection to {dim} values, fitted on {len(chosen)} faces")
        made, kept = projection.project(model, self._plan.spec, chosen, dim)
        self._left_out = chosen.photos
        name = data_set_name(folder, self._options.data_set)
        self._notes = [
            f"templates of {dim} values: principal components fitted on {len(chosen)} photos of as"
            f" many people from {name}, which keep {kept:.1%} of the variance"
        ]
        return made

    def _in_int8(
        self, bundle: Bundle, quantized: onnx.ModelProto, verdict: GateVerdict | None, table: Table
    ) -> Bundle:
        data = normal_form.to_bytes(quantized)
        (self._folder / INT8_FILE).write_bytes(data)
        models = msgspec.structs.replace(
            bundle.manifest.models, encoder_int8=encoder.entry(self._plan, INT8_FILE)
        )
        manifest = msgspec.structs.replace(
            bundle.manifest,
            models=models,
            files=bundle.manifest.files | {INT8_FILE: sha256(data)},
            proven_on=verdict.gate.proven_on if verdict else [],
            notes=[*bundle.manifest.notes, *([str(table.lesson)] if table.lesson else [])],
        )
        self._say("golden vectors")
        made = golden.make(Bundle(self._folder, manifest, None))
        write_manifest(self._folder, manifest, {bundles.GOLDEN: made})
        return bundles.read(self._folder)

    def _curve(self, bundle: Bundle) -> DetFile | None:
        recorded = self._plan.recorded.curve
        return recorded if recorded and recorded.encoder_id == bundle.encoder_id else None

    def _read(self, folder: Path) -> Crops:
        """The crops of a folder, found by the staged bundle's own detector; each folder is read
        only once."""
        if folder not in self._crops:
            self._say(f"faces of {folder}")
            staged = bundles.read(self._folder)
            found = read_crops(staged, folder, "auto", lambda done, total: None)
            if self._options.exclude is not None and folder == self._options.judged_on:
                found = excluded.leave_out(found, self._options.exclude)
                self._say(f"{found.labels_left_out} photos with wrong labels left out")
            self._crops[folder] = found
        return self._crops[folder]
