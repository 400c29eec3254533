"""The gate: measures on real faces whether int8 recognises people as well as float does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.scores.metrics import Pairs, tar_loss
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import BackendError, BundleError, PhotoError
from ostiary.edge.runtime.bundle import sha256
from ostiary.edge.runtime.det import COMPARISONS, MIN_IMPOSTORS, Comparison, DetFile
from ostiary.export.faces import learned
from ostiary.export.faces.crops import Crops
from ostiary.export.faces.curves import template_curves, with_tail
from ostiary.export.faces.groups import GroupFile, Groups, read_groups
from ostiary.export.faces.kinds import People
from ostiary.export.faces.open_set import Search, open_set
from ostiary.export.faces.pairs import FMRS, GRID, LEAST_IMPOSTORS, all_pairs, counts, tar_rows
from ostiary.export.graphs import run
from ostiary.export.judge import diagnose, floor
from ostiary.export.judge import input_readings as reading
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import Compared, Cosines, Gate, GateLimits, MovedPair, TarLoss

BACKENDS = ("openvino", "onnxruntime")
SIZES, FPIR, DRAWS = (100, 300), 0.01, 10
WORST = 10
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Encoders:
    """The two files to compare, their input, and the calibration table if it is known.

    `learned` are the ids of the photos that the float encoder learned from.
    """

    in_float: bytes
    in_int8: bytes
    spec: InputSpec
    table: Table | None
    learned: Sequence[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    people: People
    genuine: Floats
    impostor: Floats
    pairs: Pairs


def measure(
    encoders: Encoders,
    crops: Crops,
    data_set: str,
    limits: GateLimits,
    say: Say,
    group_file: GroupFile | None = None,
) -> tuple[Gate, DetFile]:
    """Compare int8 with float; returns the verdict and the DET curves, those of groups too.

    Photos used to calibrate and people whom the encoder learned from are left out. Raises
    PhotoError if too few pairs remain, so that an empty comparison cannot pass.
    """
    unknown = learned.strangers(crops, encoders.learned, say)
    of_learned = len(crops) - len(unknown)
    kept = unknown.without(encoders.table.photos) if encoders.table else unknown
    left_out = len(unknown) - len(kept)
    _refuse_too_few(kept, data_set, left_out, of_learned)
    say(f"embedding {len(kept)} faces in float")
    base = run.embed(encoders.in_float, kept.images, encoders.spec)
    by_backend: dict[str, Floats] = {}
    for backend in BACKENDS:
        say(f"embedding {len(kept)} faces in int8 on {backend}")
        try:
            by_backend[backend] = run.embed(encoders.in_int8, kept.images, encoders.spec, backend)
        except (ImportError, BackendError) as error:
            say(f"{backend} cannot run the int8 encoder and is left out: {error}")
    if not by_backend:
        raise BundleError("no backend here runs the int8 encoder", "pip install 'ostiary[cpu]'")
    first = next(iter(by_backend))
    rounded = by_backend[first]
    say("scoring every pair in float, in int8 and across the two")
    scored = {name: _score(name, base, rounded, kept.person) for name in COMPARISONS}
    losses = _losses(scored, limits)
    cosine = _cosines(base, rounded)
    agreement = _cosines(*by_backend.values()) if len(by_backend) == 2 else None
    failures = _failures(losses, cosine, limits)
    say("trying other channel orders and ranges of the input")
    readings = reading.of_people(encoders.in_float, kept, encoders.spec)
    misread = reading.better(readings)
    if failures:
        say("looking for the fault")
        failures += diagnose.find(
            onnx.load_from_string(encoders.in_float),
            onnx.load_from_string(encoders.in_int8),
            encoders.table,
            kept.images,
            encoders.spec,
        )
    agreed = agreement is not None and agreement.least >= limits.backends_agree
    gate = Gate(
        encoder_id=sha256(encoders.in_float),
        int8_sha256=sha256(encoders.in_int8),
        passed=not failures and not misread,
        failures=[*failures, misread] if misread else failures,
        data_set=data_set,
        images=len(kept),
        people=kept.people,
        calibration_left_out=left_out,
        learned_left_out=of_learned,
        labels_left_out=kept.labels_left_out,
        labels_sha256=kept.labels_sha256,
        genuines=len(scored["float_float"].genuine),
        impostors=len(scored["float_float"].impostor),
        backend=first,
        limits=limits,
        cosine=cosine,
        agreement=agreement,
        proven_on=sorted(by_backend) if agreed else [first],
        compared=[_compared(name, item) for name, item in scored.items()],
        losses=losses,
        worst=_worst(base, rounded, kept.person),
        readings=readings,
    )
    groups = None if group_file is None else read_groups(group_file, kept)
    det = _det(gate, scored, groups, say)
    return floor.judged(gate, det, limits), det


def _refuse_too_few(crops: Crops, data_set: str, left_out: int, of_learned: int) -> None:
    photos = np.bincount(crops.person) if len(crops) else np.zeros(1, np.int64)
    impostors = int((len(crops) ** 2 - int((photos**2).sum())) // 2)
    genuines = int((photos * (photos - 1) // 2).sum())
    if impostors < MIN_IMPOSTORS or not genuines:
        aside = f", {left_out} photos of the calibration left out" if left_out else ""
        if of_learned:
            aside += f", {of_learned} photos of people that the encoder learned from left out"
        raise PhotoError(
            f"{data_set} gives {genuines} genuine and {impostors} impostor pairs{aside}:"
            f" too few for a verdict, which needs {MIN_IMPOSTORS} impostor pairs",
            f"{learned.HINT}, about 250 photos or more, mostly several per person"
            if of_learned
            else "give about 250 photos or more, mostly several per person",
        )


def _score(name: Comparison, base: Floats, rounded: Floats, person: NDArray[np.int64]) -> _Scored:
    templates = rounded if name == "int8_int8" else base
    probes = base if name == "float_float" else rounded
    people = People(templates, probes, person)
    return _Scored(people, *all_pairs(templates, probes, person))


def _losses(scored: dict[Comparison, _Scored], limits: GateLimits) -> list[TarLoss]:
    before = scored["float_float"].pairs
    bounds: dict[Comparison, float] = {
        "int8_int8": limits.int8_int8,
        "float_int8": limits.float_int8,
    }
    found = []
    for comparison, bound in bounds.items():
        for fmr in sorted({*FMRS, *limits.fmrs}, reverse=True):
            if fmr * before.impostors >= LEAST_IMPOSTORS:
                loss = tar_loss(before, scored[comparison].pairs, fmr)
                found.append(TarLoss(comparison, fmr, loss, bound if fmr in limits.fmrs else None))
    return found


def _failures(losses: list[TarLoss], cosine: Cosines, limits: GateLimits) -> list[str]:
    found = []
    if not any(item.limit is not None for item in losses):
        found.append("too few pairs to measure TAR at any FMR that has a limit")
    for item in losses:
        if item.limit is not None and not item.loss.value <= item.limit:
            found.append(
                f"{item.comparison} loses {item.loss.value:.4f} of TAR at FMR {item.fmr:.0e},"
                f" {item.limit} is allowed"
            )
    if not cosine.median >= limits.median_cosine:
        found.append(
            f"the median cosine of int8 to float is {cosine.median:.4f},"
            f" at least {limits.median_cosine} is needed"
        )
    return found


def _cosines(a: Floats, b: Floats) -> Cosines:
    cosines = np.einsum("ij,ij->i", a, b)
    median, p05, p01, least = (float(q) for q in np.quantile(cosines, [0.5, 0.05, 0.01, 0]))
    return Cosines(median, p05, p01, least)


def _compared(name: Comparison, scored: _Scored) -> Compared:
    opened = open_set(scored.people, Search(SIZES, FPIR, DRAWS))
    return Compared(name, tar_rows(scored.pairs), opened)


def _worst(base: Floats, rounded: Floats, person: NDArray[np.int64]) -> list[MovedPair]:
    """The genuine pairs whose score fell the most, and the impostor pairs whose score rose the
    most."""
    before, after = base @ base.T, rounded @ rounded.T
    rows, columns = np.triu_indices(len(person), 1)
    moved = (after - before)[rows, columns]
    same = person[rows] == person[columns]
    fell = np.flatnonzero(same)[np.argsort(moved[same])[:WORST]]
    rose = np.flatnonzero(~same)[np.argsort(-moved[~same])[:WORST]]
    found = []
    for place in (*fell, *rose):
        a, b = int(rows[place]), int(columns[place])
        kind: Literal["genuine", "impostor"] = "genuine" if same[place] else "impostor"
        found.append(MovedPair(kind, a, b, float(before[a, b]), float(after[a, b])))
    return found


def _det(gate: Gate, scored: dict[Comparison, _Scored], groups: Groups | None, say: Say) -> DetFile:
    crossed = scored["float_int8"].people
    curves, worst = template_curves(crossed, groups, say)
    counted = {
        name: with_tail(counts(item.genuine, item.impostor), item.people)
        for name, item in scored.items()
    }
    return DetFile(
        encoder_id=gate.encoder_id,
        data_set=gate.data_set,
        people=gate.people,
        images=gate.images,
        scores=GRID.tolist(),
        float_float=counted["float_float"],
        int8_sha256=gate.int8_sha256,
        int8_int8=counted["int8_int8"],
        float_int8=counted["float_int8"],
        curves=curves,
        worst_group=worst,
        labels_left_out=gate.labels_left_out,
        labels_sha256=gate.labels_sha256,
    )
