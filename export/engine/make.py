"""Brings a bundle's engines in a folder up to date: keeps, builds, proves and reports them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import msgspec

from ostiary.edge.errors import BackendError, OstiaryError
from ostiary.edge.files import alone, write_atomically
from ostiary.edge.runtime import engines
from ostiary.edge.runtime.bundle import GOLDEN, INT8, Bundle
from ostiary.edge.runtime.engines import (
    EngineEntry,
    EngineReport,
    Failure,
    Fingerprint,
    Header,
    Precision,
)
from ostiary.edge.runtime.manifest import ModelEntry
from ostiary.export.engine.order import Build, BuildStep, Here, PlaceQuery, Prove, ProvenPlan
from ostiary.export.engine.workshop import PassingError, Workshop

PLAN = ".plan"
"""Ending of the file that a build in progress writes; such a file is never run."""
Say = Callable[[str, BuildStep | None], None]


@dataclass(frozen=True)
class EngineOptions:
    """How engines are to be built; `compute` is the GPU that RTX builds for, as sm86."""

    library: str
    compute: str | None = None
    memory_mb: int | None = None
    again: bool = False
    """True to build even engines that are up to date, and those whose build failed before."""


@dataclass(frozen=True)
class Made:
    """The report, and what this run did for each model: `hit` (kept), `built` or `failed`."""

    here: Here
    report: EngineReport
    did: dict[str, str] = field(default_factory=dict)


def make(
    bundle: Bundle, folder: Path, workshop: Workshop, options: EngineOptions, say: Say
) -> Made:
    """Bring the engines of a bundle up to date.

    Raises OstiaryError if nothing at all can be built here, or if another process is building in
    `folder`. If one model cannot be built, nothing is raised: the report gives the reason.
    """
    here = workshop.probe(PlaceQuery(options.library, options.compute))
    folder.mkdir(parents=True, exist_ok=True)
    busy = BackendError(f"another process builds engines in {folder}", "wait for its end")
    with alone(folder, busy):
        _clear(folder)
        shop = _Shop(bundle, folder, here, workshop, options, say, _before(folder))
        did = {
            name: _Model(shop, name, model).bring()
            for name, model in bundle.manifest.models.items().items()
        }
        report = _report(folder, [shop.entries[name] for name in did])
        _prune(folder, report)
    return Made(here, report, did)


def needed(bundle: Bundle, folder: Path, here: Here) -> list[str]:
    """Names of the models for which `make` would build an engine now."""
    before = _before(folder)
    found = []
    for name, model in bundle.manifest.models.items().items():
        onnx = bundle.manifest.files[model.file]
        wanted = [_fingerprint(here, onnx, model, p) for p in attempts(name, here)]
        failed = before[name].failed if name in before else {}
        open_ones = [f for f in wanted if not (f.key in failed and failed[f.key].final)]
        if open_ones and not _holds(folder, open_ones[0], here):
            found.append(name)
    return found


def attempts(name: str, here: Here) -> list[Precision]:
    """The precisions to try for a model, in order; for the int8 file only int8."""
    order: tuple[Precision, ...] = ("int8",) if name == INT8 else ("fp16", "fp32")
    return [precision for precision in order if precision in here.flags]


def _fingerprint(here: Here, onnx: str, model: ModelEntry, precision: Precision) -> Fingerprint:
    shapes = {model.input: list(model.spec.shape)}
    return Fingerprint(onnx, here.place, precision, here.flags[precision], shapes)


def _holds(folder: Path, wanted: Fingerprint, here: Here) -> bool:
    """Whether an undamaged engine of this fingerprint exists, proven if engines can run here."""
    try:
        found = engines.read(engines.engine_file(folder, wanted.onnx, wanted.precision))
    except BackendError:
        return False
    proven = found.header.proof is not None or not here.runs
    return proven and found.header.fingerprint == wanted


@dataclass(frozen=True)
class _Shop:
    """The data that all models of one run share."""

    bundle: Bundle
    folder: Path
    here: Here
    workshop: Workshop
    options: EngineOptions
    say: Say
    entries: dict[str, EngineEntry]
    """Report entries by model: those of the last run, replaced as this run proceeds."""

    def note(self, entry: EngineEntry) -> None:
        """Write the entry to disk at once, so that a killed build is not repeated at every boot."""
        self.entries[entry.model] = entry
        _report(self.folder, list(self.entries.values()))


class _Model:
    """Builds or keeps the engine of one model."""

    def __init__(self, shop: _Shop, name: str, model: ModelEntry) -> None:
        self._shop, self._name, self._model = shop, name, model
        self._onnx = shop.bundle.manifest.files[model.file]

    def bring(self) -> str:
        """Bring the engine up to date and note it; returns `hit`, `built` or `failed`."""
        before = self._shop.entries.get(self._name)
        failed: dict[str, Failure] = {}
        for precision in attempts(self._name, self._shop.here):
            wanted = _fingerprint(self._shop.here, self._onnx, self._model, precision)
            file = engines.engine_file(self._shop.folder, self._onnx, precision)
            last = before.failed.get(wanted.key) if before is not None else None
            if not self._shop.options.again:
                if last is not None and last.final:
                    failed[wanted.key] = last
                    self._tell(f"not tried again after it failed: {last.reason}")
                    continue
                if _holds(self._shop.folder, wanted, self._shop.here):
                    self._tell(f"{precision}: up to date")
                    return self._done("hit", file.name, precision, failed)
            tries = 1 if last is None or self._shop.options.again else last.tries + 1
            begun = Failure(f"{precision}: the build was interrupted", tries, passing=True)
            self._done("", None, None, {**failed, wanted.key: begun})
            try:
                self._build(wanted, file)
            except OstiaryError as error:
                passing = isinstance(error, PassingError)
                failed[wanted.key] = Failure(f"{precision}: {error.message}", tries, passing)
                self._tell(failed[wanted.key].reason)
                continue
            return self._done("built", file.name, precision, failed)
        return self._done("failed", None, None, failed or self._lacks())

    def _lacks(self) -> dict[str, Failure]:
        return {"": Failure(self._shop.here.lacks or "no precision of it can be built here")}

    def _done(
        self, what: str, file: str | None, precision: Precision | None, failed: dict[str, Failure]
    ) -> str:
        self._shop.note(EngineEntry(self._name, self._onnx, file, precision, failed))
        return what

    def _build(self, wanted: Fingerprint, file: Path) -> None:
        plan = file.with_suffix(PLAN)
        place = hashlib.sha256(msgspec.json.encode(wanted.place)).hexdigest()[:16]
        timings = self._shop.folder / f"{place}.timing"
        order = Build(
            library=self._shop.options.library,
            onnx=str(self._shop.bundle.path / self._model.file),
            plan=str(plan),
            flags=wanted.flags,
            compute=self._shop.options.compute,
            memory_mb=self._shop.options.memory_mb,
            # RTX has no timing cache: it times kernels when it loads an engine.
            timing_cache=str(timings) if self._shop.here.runs else None,
        )
        self._tell(f"{wanted.precision}: building")
        began = time.monotonic()
        try:
            self._shop.workshop.build(order, lambda step: self._shop.say(self._name, step))
            proven = self._prove(wanted.precision, plan)
            data = plan.read_bytes()
        finally:
            plan.unlink(missing_ok=True)
        header = Header(
            schema=engines.SCHEMA,
            fingerprint=wanted,
            plan_sha256=hashlib.sha256(data).hexdigest(),
            build_s=round(time.monotonic() - began, 2),
            proof=proven.proof if proven else None,
            layers=proven.layers if proven else None,
        )
        write_atomically(file, engines.pack(header, data))
        engines.read(file)  # raises now if the file is unreadable: each start would build it again

    def _prove(self, precision: Precision, plan: Path) -> ProvenPlan | None:
        if not self._shop.here.runs:
            return None
        self._tell(f"{precision}: checking against the golden vectors")
        golden = str(self._shop.bundle.path / GOLDEN)
        return self._shop.workshop.prove(
            Prove(str(plan), self._name, self._model, precision, golden)
        )

    def _tell(self, text: str) -> None:
        self._shop.say(f"{self._name}: {text}", None)


def _before(folder: Path) -> dict[str, EngineEntry]:
    try:
        return {entry.model: entry for entry in engines.read_report(folder).entries}
    except BackendError:
        return {}


def _report(folder: Path, entries: list[EngineEntry]) -> EngineReport:
    report = EngineReport(engines.SCHEMA, entries)
    write_atomically(folder / engines.REPORT, msgspec.json.encode(report))
    return report


def _clear(folder: Path) -> None:
    """Delete the temporary files of a killed build."""
    for pattern in (f"*{PLAN}", ".*.engine.*", f".{engines.REPORT}.*", ".*.timing.*"):
        for left in folder.glob(pattern):
            left.unlink()


def _prune(folder: Path, report: EngineReport) -> None:
    """Delete engines of other models or precisions: they only fill the device's disk."""
    kept = {entry.file for entry in report.entries}
    for precision in get_args(Precision):
        for file in folder.glob(f"*.{precision}.engine"):
            if file.name not in kept:
                file.unlink()
