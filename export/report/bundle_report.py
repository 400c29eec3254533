"""The report on a bundle: one HTML page with the verdict, its evidence and the charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import RULE_OF_30, DetCurve, Threshold, threshold
from ostiary.edge.models.timing import Speed
from ostiary.edge.runtime.det import COMPARISONS, Comparison, DetFile
from ostiary.edge.runtime.heads.verifier_file import Judged, VerifierFile
from ostiary.edge.runtime.manifest import Manifest
from ostiary.export.records.calibration_table import Table
from ostiary.export.records.results import Gate, LayerCost, LayerCosts
from ostiary.export.report import charts, page
from ostiary.export.report.charts import Axis, Bar, Chart, Plot

SIZES, FPIR = (1, 100, 1000, 10_000), 0.01
BIN = 0.01
WORST_LAYERS = 5
LAYERS_A_CHART = 50
"""The most layers in one chart: as many as fit on a printed page."""
WORDS: dict[Comparison, str] = {
    "float_float": "float templates, float probes",
    "int8_int8": "int8 templates, int8 probes",
    "float_int8": "float templates, int8 probes",
}
Part = TypeVar("Part", bound=Gate | DetFile | LayerCosts | Table)


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """Densities between edges, and the share of the scores that lie outside them."""

    edges: list[float]
    density: list[float]
    outside: float


@dataclass(frozen=True, slots=True)
class _Operating:
    threshold: Threshold
    fnmr: float


def render(
    manifest: Manifest,
    gate: Gate | None,
    det: DetFile | None,
    layers: LayerCosts | None,
    table: Table | None,
    speeds: list[Speed],
    verifier: VerifierFile | None = None,
    weak_float: Sequence[str] = (),
) -> str:
    """The report as HTML; the same input gives the same bytes.

    `weak_float` are the sentences on a weak encoder of a bundle without int8, which has no gate.
    A part that is None, or was measured on other encoder files, is shown as missing.
    """
    parts: dict[str, Gate | DetFile | LayerCosts | Table | None] = {
        "the gate's verdict": gate,
        "the DET curves": det,
        "the layers' costs": layers,
        "the calibration table": table,
    }
    strays = [name for name, part in parts.items() if part and not _own(manifest, part)]
    gate, det = _own(manifest, gate), _own(manifest, det)
    layers, table = _own(manifest, layers), _own(manifest, table)
    curves = _curves(det)
    shown: Comparison = "float_int8" if "float_int8" in curves else "float_float"
    curve = curves.get(shown)
    points = [_operating(curve, k) for k in SIZES] if curve else []
    return page.template("ostiary.export", "report.html.j2").render(
        manifest=manifest,
        gate=gate,
        det=det,
        layers=layers,
        table=table,
        speeds=[_against(speed, speeds) for speed in speeds],
        strays=strays,
        weak=_weak(manifest, gate, weak_float),
        curves=curves,
        det_chart=_det_chart(curves) if curves else None,
        shown=shown,
        points=points,
        fpir=FPIR,
        scores_chart=_scores_chart(curve, points) if curve else None,
        outside=_outside(curve) if curve else None,
        layer_chart=_layer_chart(layers) if layers else None,
        worst_layers=_costliest(layers)[:WORST_LAYERS] if layers else [],
        rule=RULE_OF_30,
        words=WORDS,
        verifier=verifier,
        verified=_verified(verifier) if verifier else [],
    )


def det_points(curve: DetCurve) -> list[tuple[float, float]]:
    """(FMR, FNMR) at each score if both are above 0 (log axes); repeated points are left out."""
    found: list[tuple[float, float]] = []
    for above, below in zip(curve.impostor_at_or_above, curve.genuine_below, strict=True):
        point = (int(above) / curve.impostors, int(below) / curve.genuines)
        if min(point) > 0 and point not in found[-1:]:
            found.append(point)
    return found


def histograms(curve: DetCurve, width: float = BIN) -> tuple[ScoreHistogram, ScoreHistogram]:
    """(genuine, impostor) densities; steps of the grid are merged to bins of about `width`."""
    step = float(np.median(np.diff(curve.scores)))
    chosen = np.arange(0, len(curve.scores), max(round(width / step), 1))
    if chosen[-1] != len(curve.scores) - 1:
        chosen = np.append(chosen, len(curve.scores) - 1)
    edges = curve.scores[chosen]
    genuine = np.diff(curve.genuine_below[chosen])
    impostor = -np.diff(curve.impostor_at_or_above[chosen])
    return (
        _histogram(edges, genuine, curve.genuines),
        _histogram(edges, impostor, curve.impostors),
    )


def _histogram(edges: NDArray[np.float64], inside: NDArray[np.int64], total: int) -> ScoreHistogram:
    density = inside / np.diff(edges) / total
    return ScoreHistogram(edges.tolist(), density.tolist(), 1 - int(inside.sum()) / total)


def _own(manifest: Manifest, part: Part | None) -> Part | None:
    """The part if it was measured on the bundle's own encoder files, else None."""
    if part is None or part.encoder_id != manifest.encoder_id:
        return None
    entry = manifest.models.encoder_int8
    if entry is not None and isinstance(part, (Gate, DetFile)):
        return part if part.int8_sha256 in (None, manifest.files[entry.file]) else None
    return part


def _weak(manifest: Manifest, gate: Gate | None, weak_float: Sequence[str]) -> Sequence[str]:
    if gate is not None:
        return gate.weak
    return weak_float if manifest.models.encoder_int8 is None else ()


def _curves(det: DetFile | None) -> dict[Comparison, DetCurve]:
    if det is None:
        return {}
    return {name: det.curve(name) for name in COMPARISONS if getattr(det, name) is not None}


def _operating(curve: DetCurve, k: int) -> _Operating:
    found = threshold(curve, FPIR, k)
    return _Operating(found, curve.fnmr(found.tau))


def _verified(verifier: VerifierFile) -> list[tuple[str, Judged, float]]:
    """Each comparison made with the logistic head: its words, its figures, and the FNMR at FMR
    1e-3."""
    found = [(name, getattr(verifier, name, None)) for name in COMPARISONS]
    return [(WORDS[name], judged, verifier.fnmr(name)) for name, judged in found if judged]


def _det_chart(curves: dict[Comparison, DetCurve]) -> Chart:
    lines = {name: det_points(curve) for name, curve in curves.items()}
    ticks = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    x = Axis("FMR: impostor pairs that match", ticks[0], ticks[-1], ticks, log=True)
    y = charts.logarithmic(
        "FNMR: genuine pairs that do not match",
        [fnmr for points in lines.values() for fmr, fnmr in points if x.holds(fmr)],
    )
    plot = Plot("DET curves", x, y)
    plot.shade((x.low, max(curve.least_fmr for curve in curves.values())), (y.low, y.high))
    least = max(RULE_OF_30 / curve.genuines for curve in curves.values())
    plot.shade((x.low, x.high), (y.low, least))
    legend = []
    for name, points in lines.items():
        series = COMPARISONS.index(name)
        plot.line(points, series)
        drawn = any(x.holds(fmr) and y.holds(fnmr) for fmr, fnmr in points)
        legend.append((charts.key("line", series), WORDS[name] + ("" if drawn else ": no errors")))
    legend.append((charts.key("shade"), f"fewer than {RULE_OF_30} errors: not reliable"))
    return Chart([plot.svg()], legend)


def _scores_chart(curve: DetCurve, points: Sequence[_Operating]) -> Chart:
    genuine, impostor = histograms(curve)
    highest = max(*genuine.density, *impostor.density) or 1.0
    x = charts.linear("score", genuine.edges[0], genuine.edges[-1])
    # The marks' labels stand in rows above the highest bin.
    y = charts.linear("density", 0, 1.4 * highest, most=6)
    plot = Plot("Genuine and impostor scores", x, y)
    plot.area(impostor.edges, impostor.density, 1)
    plot.area(genuine.edges, genuine.density, 0)
    for row, point in enumerate(points):
        tau = point.threshold
        plot.mark(tau.tau, f"K = {tau.k}", row, not tau.supported)
    legend = [
        (charts.key("area", 0), "genuine pairs"),
        (charts.key("area", 1), "impostor pairs"),
        (charts.key("mark"), f"tau for an FPIR of {FPIR} against K templates"),
    ]
    if not all(point.threshold.supported for point in points):
        legend.append((charts.key("mark weak"), f"the same, from fewer than {RULE_OF_30} errors"))
    return Chart([plot.svg()], legend)


def _outside(curve: DetCurve) -> tuple[float, float]:
    genuine, impostor = histograms(curve)
    return genuine.outside, impostor.outside


def _layer_chart(layers: LayerCosts) -> Chart:
    axis = charts.logarithmic("1 - mean cosine", [cost.cosine for cost in layers.costs], room=1)
    ranks = {cost.node: rank for rank, cost in enumerate(_costliest(layers)[:WORST_LAYERS], 1)}
    rows = []
    for cost in layers.costs:
        kind = "depthwise" if cost.depthwise else "plain"
        kept = cost.node in layers.floats
        rank = f"no. {ranks[cost.node]}" if cost.node in ranks else ""
        tag = ", ".join(word for word in (rank, "in float" if kept else "") if word)
        note = f"1 - cosine {cost.cosine:.2e}, TAR lost {cost.tar:.4f}"
        rows.append(Bar(cost.node, cost.cosine, kind + (" kept" if kept else ""), note, tag))
    size = math.ceil(len(rows) / max(math.ceil(len(rows) / LAYERS_A_CHART), 1))
    parts = [rows[at : at + size] for at in range(0, len(rows), max(size, 1))]
    legend = [
        (charts.key("bar plain"), "convolution or matrix"),
        (charts.key("bar depthwise"), "depthwise convolution"),
    ]
    if layers.floats:
        legend.append((charts.key("bar plain kept"), "kept in float"))
    return Chart([charts.bars("What each layer costs", axis, part) for part in parts], legend)


def _costliest(layers: LayerCosts) -> list[LayerCost]:
    return sorted(layers.costs, key=lambda cost: -cost.cosine)


def _against(speed: Speed, speeds: Sequence[Speed]) -> tuple[Speed, float | None, float | None]:
    """(speed, times as fast, times as large) compared with the first float encoder; None without
    one."""
    base = next((other for other in speeds if other.name.startswith("float")), None)
    if base is None:
        return speed, None, None
    faster = base.p50_ms / speed.p50_ms if speed.p50_ms > 0 else None
    return speed, faster, speed.size_bytes / base.size_bytes if base.size_bytes > 0 else None
