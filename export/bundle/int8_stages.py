"""The int8 stages of a build: calibration, int8 encoder, gate, layer costs, search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx

from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime.bundle import INT8_FILE, sha256
from ostiary.edge.runtime.det import DetFile
from ostiary.export.audit.check import audit
from ostiary.export.bundle.memo import Memo
from ostiary.export.faces import learned
from ostiary.export.faces.crops import Crops, data_set_name
from ostiary.export.graphs import normal_form
from ostiary.export.int8 import calibrate, quantize, sensitivity
from ostiary.export.judge import floor, input_readings
from ostiary.export.judge.gate import Encoders, measure
from ostiary.export.plan.options import Options
from ostiary.export.plan.recipe import BuildPlan
from ostiary.export.records import calibration_table as tables
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import Gate, LayerCosts

Say = Callable[[str], None]
Read = Callable[[Path], Crops]


class GateVerdict(msgspec.Struct, frozen=True):
    """The result of the gate's stage: the gate and its DET curves."""

    gate: Gate
    det: DetFile


class Int8Stages:
    """The int8 stages for one float encoder; results of the long stages are kept for the next
    build."""

    def __init__(
        self,
        plan: BuildPlan,
        options: Options,
        encoder_id: str,
        left_out: list[str],
        read: Read,
        say: Say,
    ) -> None:
        """`left_out` are the ids of photos that a projection was fitted on; the gate leaves them
        out.

        `read` returns the crops of a folder.
        """
        self._plan, self._options, self._id = plan, options, encoder_id
        self._left_out, self._read, self._say = left_out, read, say
        self._limits = options.limits_of(plan)
        self._memo = Memo(say)
        # The same file read in another way measures otherwise.
        self._key = [encoder_id, input_readings.told(plan.spec)]

    def table(self, model: onnx.ModelProto) -> Table:
        """The calibration table, made from faces or else recorded. Raises PhotoError if there is
        neither."""
        folder, recorded = self._options.calibrate, self._plan.recorded.table
        if folder is None:
            if recorded is not None and recorded.encoder_id == self._id:
                self._say(f"calibration: the recorded table, {recorded.images} faces")
                return recorded
            raise PhotoError(
                "int8 needs faces to calibrate on",
                "build in float only, or give a folder of faces",
                option="calibrate",
            )
        found = self._read(folder)

        def make() -> Table:
            table = calibrate.calibrate(
                model,
                self._plan.spec,
                found,
                data_set_name(folder, self._options.data_set),
                self._options.method,
                self._options.insist,
                self._say,
            )
            photos = sorted({*table.photos, *self._left_out})
            return msgspec.structs.replace(table, photos=photos)

        inputs = [*self._key, self._options.method, *found.photos, *self._left_out]
        return self._memo.get("calibration", [*inputs, str(self._options.insist)], Table, make)

    def quantized(self, model: onnx.ModelProto, table: Table) -> onnx.ModelProto:
        """The int8 encoder. Raises BundleError if TensorRT would not read it as intended."""
        self._say(f"int8: {len(table.ranges)} ranges, {len(table.floats)} layers left in float")
        made = quantize.quantize(model, table)
        found = audit(made, INT8_FILE)
        if not found.passed:
            first = found.violations[0]
            raise BundleError(
                f"TensorRT would misread the int8 encoder: {first.node}: {first.problem}",
                first.cure,
            )
        return made

    def verdict(
        self, model: onnx.ModelProto, quantized: onnx.ModelProto, table: Table
    ) -> GateVerdict | None:
        """The gate measured on faces, else the one recorded for the same bytes, else None.

        The floor of a recorded gate is judged again, by the limits of this build.
        """
        folder = self._options.judged_on
        data = normal_form.to_bytes(quantized)
        if folder is None:
            recorded = self._plan.recorded
            known = recorded.gate is not None and recorded.gate.int8_sha256 == sha256(data)
            if recorded.gate is None or recorded.curve is None or not known:
                self._say("gate: no recorded verdict on this int8 file, and no faces to measure on")
                return None
            self._say(f"gate: the recorded verdict, {recorded.gate.images} faces")
            gate = floor.judged(recorded.gate, recorded.curve, self._limits)
            return GateVerdict(gate, recorded.curve)
        found = self._read(folder)
        photos = self._plan.learned
        encoders = Encoders(normal_form.to_bytes(model), data, self._plan.spec, table, photos)
        name = data_set_name(folder, self._options.data_set)

        def make() -> GateVerdict:
            return GateVerdict(
                *measure(encoders, found, name, self._limits, self._say, self._options.groups)
            )

        limits = msgspec.json.encode(self._limits)
        inputs: list[str | bytes] = [*self._key, data, tables.to_text(table), limits, name]
        inputs += [learned.to_text(photos), found.labels_sha256 or ""]
        inputs.append(self._options.groups.text() if self._options.groups else b"")
        return self._memo.get("gate", [*inputs, *found.photos], GateVerdict, make)

    def layers(self, model: onnx.ModelProto, table: Table) -> LayerCosts | None:
        """The layers' costs measured on faces, else those recorded for this encoder, else None."""
        folder = self._options.judged_on
        if folder is None:
            recorded = self._plan.recorded.layers
            known = recorded is not None and recorded.encoder_id == self._id
            return recorded if known else None
        found = learned.strangers(self._read(folder), self._plan.learned, self._say)

        def layer(at: int, total: int) -> None:
            self._say(f"sensitivity, layer {at} of {total}")

        return self._memo.get(
            "sensitivity",
            [*self._key, tables.to_text(table), *found.photos],
            LayerCosts,
            lambda: sensitivity.measure(model, table, found, self._plan.spec, layer),
        )

    def search(
        self,
        model: onnx.ModelProto,
        table: Table,
        failed: GateVerdict,
        layers: LayerCosts,
    ) -> tuple[Table, GateVerdict]:
        """The table with the fewest layers in float that makes int8 faithful, and its verdict.

        If none does, `table` and `failed` are returned unchanged.
        """
        self._say(f"the gate fails: {failed.gate.failures[0]}")
        folder = self._options.calibrate
        if folder is None:
            self._say("no search for layers to leave in float: it needs faces to calibrate on")
            return table, failed
        if input_readings.better(failed.gate.readings):
            self._say("no search for layers to leave in float: the input is read the wrong way")
            return table, failed
        verdicts: dict[int, GateVerdict] = {}

        def passes(candidate: Table) -> bool:
            found = self.verdict(model, self.quantized(model, candidate), candidate)
            assert found is not None
            verdicts[len(candidate.floats)] = found
            # A weak float encoder is no fault of int8: layers left in float could not mend it.
            return found.gate.faithful

        calibrated = self._read(folder)
        try:
            chosen = sensitivity.search(
                model, table, calibrated, self._plan.spec, layers, passes, self._say
            )
        except BundleError as error:
            self._say(error.message)
            return table, failed
        return chosen, verdicts[len(chosen.floats)]
