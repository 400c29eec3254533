"""The plots of a training run as inline SVG: DET curves, embedding maps, figures of the log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ostiary.edge.core.scores.calibration import RULE_OF_30
from ostiary.edge.runtime.det import Counts
from ostiary.export.report import charts
from ostiary.export.report.charts import Axis, Chart, Place, Plot
from ostiary.training.judge.evaluation import Evaluation, Plane
from ostiary.training.run.log import EpochLine, StepLine

MOST_POINTS = 300
"""The most points of a line over the steps; more are averaged, which shows the trend."""
FEW = 40
"""The most points of a line that are drawn as dots too."""


def det_points(counts: Counts) -> list[Place]:
    """(FMR, FNMR) at each counted score, without zeros, which a logarithmic axis cannot show."""
    both = zip(counts.impostor_at_or_above, counts.genuine_below, strict=True)
    return [(fmr / counts.impostors, fnmr / counts.genuines) for fmr, fnmr in both if fmr and fnmr]


def det(evaluations: Sequence[Evaluation]) -> Chart:
    """DET curves of one data set, the untrained encoder first, on logarithmic axes.

    Martin et al. 1997, "The DET curve in assessment of detection task performance", use normal
    deviates instead, which draw the same curves straighter.
    """
    lines = [det_points(one.counts) for one in evaluations]
    every = [point for points in lines for point in points]
    x = charts.logarithmic("FMR: impostor pairs that match", [fmr for fmr, _ in every])
    y = charts.logarithmic("FNMR: genuine pairs that do not", [fnmr for _, fnmr in every])
    names = ", ".join(f"{one.name} with an EER of {one.eer.value:.4f}" for one in evaluations)
    plot = Plot(f"DET curves: {names}", x, y)
    counts = [one.counts for one in evaluations]
    plot.shade((x.low, max(RULE_OF_30 / c.impostors for c in counts)), (y.low, y.high))
    plot.shade((x.low, x.high), (y.low, max(RULE_OF_30 / c.genuines for c in counts)))
    low, high = max(x.low, y.low), min(x.high, y.high)
    if low < high:
        plot.guide((low, low), (high, high))
    legend = []
    for series, (one, points) in enumerate(zip(evaluations, lines, strict=True)):
        plot.line(points, series)
        legend.append((charts.key("line", series), one.name + ("" if points else ": no errors")))
    legend.append((charts.key("mark weak"), "equal errors"))
    legend.append((charts.key("shade"), f"fewer than {RULE_OF_30} errors: not reliable"))
    return Chart([plot.svg()], legend)


def embeddings(title: str, plane: Plane) -> Chart:
    """A map with each photo as a dot in its person's colour and shape; both axes have one scale."""
    points = np.array(plane.points)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    across = charts.WIDTH - charts.LEFT - charts.RIGHT
    sides = np.array([1.0, (charts.HEIGHT - charts.TOP - charts.BOTTOM) / across])
    # The axes need a length even if a collapsed encoder has all dots in one place.
    half = max(float((np.ptp(points, axis=0) / 2 / sides).max()), 1e-3) * 1.06 * sides
    names = [f"component {i + 1}: {share:.0%} of variance" for i, share in enumerate(plane.share)]
    x, y = (
        charts.linear(name, at - reach, at + reach)
        for name, at, reach in zip(names, middle.tolist(), half.tolist(), strict=True)
    )
    plot = Plot(title, x, y)
    owner = np.array(plane.person)
    legend = []
    for kind, person in enumerate(np.unique(owner)):
        plot.dots([plane.points[i] for i in np.flatnonzero(owner == person)], kind, f"no. {person}")
        legend.append((charts.dot_key(kind), f"no. {person}"))
    return Chart([plot.svg()], legend)


def averaged(values: Sequence[tuple[float, float]]) -> tuple[list[Place], int]:
    """(at most MOST_POINTS means of neighbouring values, the number of values in a mean)."""
    every = -(-len(values) // MOST_POINTS)
    runs = [values[at : at + every] for at in range(0, len(values), max(every, 1))]
    means = [np.mean(run, axis=0).tolist() for run in runs]
    return [(x, y) for x, y in means], every


def loss(steps: Sequence[StepLine]) -> tuple[Chart, int]:
    """(chart of the loss over the steps, the number of steps averaged in a point)."""
    points, every = averaged([(s.step, s.loss) for s in steps])
    highest = max(y for _, y in points)
    y = charts.linear("loss", min(0.0, *(y for _, y in points)), 1.05 * highest or 1.0)
    title = f"Loss over the steps: {_from_to(points)}"
    plot = Plot(title, _counted("step", steps[-1].step), y)
    legend = [_trend(plot, points, 0, "loss")]
    return Chart([plot.svg()], legend), every


def active(steps: Sequence[StepLine]) -> tuple[Chart, int] | None:
    """Like `loss`, for the share of active triplets; None if the loss has no triplets."""
    known = [(s.step, s.active) for s in steps if s.active is not None]
    if not known:
        return None
    points, every = averaged(known)
    title = f"Active triplets over the steps: {_from_to(points)}"
    x = _counted("step", steps[-1].step)
    plot = Plot(title, x, charts.linear("share", 0, 1, most=5))
    legend = [_trend(plot, points, 0, "share with a loss above 0")]
    return Chart([plot.svg()], legend), every


def eer(epochs: Sequence[EpochLine]) -> Chart:
    """The equal error rate over the epochs, with the best epoch marked."""
    # Leave room for the best epoch's label above the highest point.
    y = charts.linear("EER", 0, 1.25 * max(line.eer for line in epochs) or 0.1, most=6)
    points = [(float(line.epoch), line.eer) for line in epochs]
    title = f"EER over the epochs: {_from_to(points)}"
    plot = Plot(title, _counted("epoch", epochs[-1].epoch), y)
    _mark_best(plot, epochs)
    legend = [_trend(plot, points, 0, "EER of the people who choose the epoch")]
    return Chart([plot.svg()], legend)


def tar(epochs: Sequence[EpochLine]) -> Chart | None:
    """TAR over the epochs: of the people who choose the epoch, and on unchanged photos; None if it
    was not measured."""
    both = {
        "TAR of the people who choose the epoch": [(e.epoch, e.tar) for e in epochs],
        "TAR on unchanged photos, which must not fall": [(e.epoch, e.guard) for e in epochs],
    }
    known = {name: [(x, y) for x, y in line if y is not None] for name, line in both.items()}
    if not any(known.values()):
        return None
    x = _counted("epoch", epochs[-1].epoch)
    least = min(y for line in known.values() for _, y in line)
    plot = Plot("TAR over the epochs", x, charts.linear("TAR", max(least - 0.05, 0), 1.05, most=6))
    _mark_best(plot, epochs)
    legend = [
        _trend(plot, line, series, name)
        for series, (name, line) in enumerate(known.items())
        if line
    ]
    return Chart([plot.svg()], legend)


def best(epochs: Sequence[EpochLine]) -> EpochLine | None:
    """The best epoch: the last epoch that was better than all before it."""
    return next((line for line in reversed(epochs) if line.best), None)


def _mark_best(plot: Plot, epochs: Sequence[EpochLine]) -> None:
    found = best(epochs)
    if found:
        plot.mark(found.epoch, f"best: epoch {found.epoch}", 0)


def _trend(plot: Plot, points: Sequence[Place], series: int, name: str) -> tuple[str, str]:
    """Draw a line, with dots if it has few points; returns its entry in the legend."""
    plot.line(points, series)
    if len(points) <= FEW:
        plot.dots(points, series, name)
    return charts.key("line", series), name


def _from_to(points: Sequence[Place]) -> str:
    """A description of a line, in words for people who cannot see it."""
    return f"from {charts.short(points[0][1])} to {charts.short(points[-1][1])}"


def _counted(label: str, last: int) -> Axis:
    """An axis from 0 to `last`, with ticks at whole numbers only."""
    axis = charts.linear(label, 0, max(last, 1))
    ticks = tuple(value for value in axis.ticks if float(value).is_integer())
    return Axis(label, axis.low, axis.high, ticks)
