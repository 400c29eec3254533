"""Measures the range of an encoder's inner values on faces, and where int8 may clip them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from ostiary.edge.core.faces.preprocess import InputSpec
from ostiary.edge.core.types import Floats
from ostiary.export.graphs import run
from ostiary.export.graphs.run import Images
from ostiary.export.records.calibration_table import Method, Range

BINS = 4096
LEVELS = 127
PERCENTILE = 99.99
CHANNEL_QUANTILE = 0.9999
SMALLEST = 1e-8
"""The least threshold: a tensor that is zero on every face needs a scale above zero too."""


@dataclass
class ActivationHistogram:
    """Counts of |x| in BINS equal bins up to `top`, a power of two that doubles as needed."""

    top: float = SMALLEST
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    least: float = np.inf
    most: float = -np.inf

    def add(self, values: Floats) -> None:
        sizes = np.abs(values.ravel())
        reach = float(sizes.max())
        if not self.counts.any():
            self.top = float(np.exp2(np.ceil(np.log2(max(reach, SMALLEST)))))
        while self.top < reach:
            halves = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.concatenate([halves, np.zeros(BINS // 2, np.int64)])
            self.top *= 2
        places = np.minimum((sizes * (BINS / self.top)).astype(np.int64), BINS - 1)
        self.counts += np.bincount(places, minlength=BINS)
        self.least = min(self.least, float(values.min()))
        self.most = max(self.most, float(values.max()))

    @property
    def reach(self) -> float:
        """The largest |x|."""
        return max(abs(self.least), abs(self.most), SMALLEST)

    def coverage(self, threshold: float) -> float:
        """The share of values within a threshold."""
        if threshold >= self.reach * (1 - 1e-6):
            return 1.0
        bins = int(np.ceil(threshold / self.top * BINS))
        return float(self.counts[:bins].sum() / max(self.counts.sum(), 1))

    def range(self, method: Method) -> Range:
        """The range by a method."""
        threshold = max(THRESHOLDS[method](self), SMALLEST)
        return Range(
            _short(threshold),
            _short(self.least),
            _short(self.most),
            _short(self.coverage(threshold)),
        )


def _short(value: float) -> float:
    """A number with seven significant digits: float32 holds no more, and the text stays short."""
    return float(f"{value:.7g}")


def minmax(histogram: ActivationHistogram) -> float:
    """The largest |x|, so that nothing is clipped."""
    return histogram.reach


def percentile(histogram: ActivationHistogram) -> float:
    """The threshold that 99.99 % of |x| do not exceed."""
    summed = np.cumsum(histogram.counts)
    bin_ = int(np.searchsorted(summed, summed[-1] * PERCENTILE / 100))
    return min((bin_ + 1) * histogram.top / BINS, histogram.reach)


def least_squares(histogram: ActivationHistogram) -> float:
    """The threshold with the least squared error of rounding and clipping together."""
    middles = (np.arange(BINS) + 0.5) * histogram.top / BINS
    weights = histogram.counts.astype(np.float64)
    best = (np.inf, histogram.reach)
    for threshold in np.geomspace(histogram.reach / 20, histogram.reach, 80):
        step = threshold / LEVELS
        rounded = np.clip(np.round(middles / step), 0, LEVELS) * step
        best = min(best, (float((weights * (rounded - middles) ** 2).sum()), float(threshold)))
    return best[1]


def entropy(histogram: ActivationHistogram) -> float:
    """The threshold that ONNX Runtime's calibrator finds by Kullback-Leibler divergence."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    collector = HistogramCollector(
        "entropy",
        symmetric=True,
        num_bins=128,
        num_quantized_bins=128,
        percentile=PERCENTILE,
        scenario="same",
    )
    counts = histogram.counts.reshape(-1, 4).sum(1)
    mirrored = np.concatenate([counts[::-1], counts])
    edges = np.linspace(-histogram.top, histogram.top, len(mirrored) + 1, dtype=np.float32)
    low, high = collector.get_entropy_threshold(
        (mirrored, edges, -histogram.top, histogram.top, histogram.top), 128
    )[:2]
    return min(max(abs(float(low)), abs(float(high))), histogram.reach)


THRESHOLDS = {
    "minmax": minmax,
    "percentile": percentile,
    "mse": least_squares,
    "entropy": entropy,
}


def inputs_of(model: onnx.ModelProto) -> list[str]:
    """The tensors that enter a Conv or a Gemm, which int8 rounds."""
    found = {n.input[0]: None for n in model.graph.node if n.op_type in ("Conv", "Gemm")}
    return list(found)


def histograms(
    model: onnx.ModelProto, images: Images, spec: InputSpec
) -> dict[str, ActivationHistogram]:
    """One histogram per tensor that enters a Conv or a Gemm, over all images."""
    names = inputs_of(model)
    peek = run.Peek(model, names)
    found = {name: ActivationHistogram() for name in names}
    for batch in run.batches(images, spec):
        for name, values in peek(batch).items():
            found[name].add(values)
    return found


def channel_spans(
    model: onnx.ModelProto, names: list[str], images: Images, spec: InputSpec
) -> dict[str, Floats]:
    """The 0.9999 quantile of |x| in each channel, by tensor: (channels,).

    It is the mean of all batches' quantiles: exact enough to choose a power of two.
    """
    if not names:
        return {}
    peek = run.Peek(model, names)
    sums: dict[str, Floats] = {}
    count = 0
    for batch in run.batches(images, spec):
        count += 1
        for name, values in peek(batch).items():
            channels = np.abs(np.moveaxis(values, 1, 0).reshape(values.shape[1], -1))
            spans = np.quantile(channels, CHANNEL_QUANTILE, axis=1).astype(np.float32)
            sums[name] = sums.get(name, np.zeros_like(spans)) + spans
    return {name: (total / max(count, 1)).astype(np.float32) for name, total in sums.items()}
