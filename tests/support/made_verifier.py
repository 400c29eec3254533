"""A verifier.json made up: honest claims of a made-up encoder at +4 logits, false ones at -4."""

from __future__ import annotations

import numpy as np

from ostiary.edge.core.scores.calibration import count_scores
from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.runtime.det import Counts
from ostiary.edge.runtime.heads import verifier_file
from ostiary.edge.runtime.heads.verifier_file import Bin, Judged, VerifierFile

GRID = np.round(np.arange(-20, 20.001, 0.05), 2)
IMPOSTORS = 40_000


def judged(
    gain: float = 0.0, error: float = 0.01, plain_fnmr: float = 0.0, false: float = -4.0
) -> Judged:
    rng = np.random.default_rng(0)
    genuine, impostor = rng.normal(4, 1, 2000), rng.normal(false, 1, IMPOSTORS)
    below, above = count_scores(genuine, impostor, GRID)
    counts = Counts(IMPOSTORS, 2000, above.tolist(), below.tolist())
    bins = [Bin(0.01, 0.02, 0.5, 9, 39_000), Bin(0.98, 0.97, 0.5, 1991, 1000)]
    area = Rate(0.99, 0.98, 0.995)
    return Judged(
        counts, area, area, Rate(gain, gain - 0.001, gain + 0.001), plain_fnmr, error, bins
    )


def made(
    encoder_id: str, dim: int, weight: float = -8.0, bias: float = 30.0, int8: str | None = None
) -> VerifierFile:
    """A head that takes L1 distances: the same weight in every dimension.

    Against int8 probes false claims are at -2: another curve, and another threshold.
    """
    return VerifierFile(
        schema=verifier_file.SCHEMA,
        encoder_id=encoder_id,
        weights=[weight] * dim,
        bias=bias,
        prior=0.5,
        data_set="made up <faces>",
        fitted_people=50,
        calibrated_people=20,
        people=60,
        images=300,
        shrinkage=1e-3,
        logits=GRID.tolist(),
        float_float=judged(),
        int8_sha256=int8,
        float_int8=None if int8 is None else judged(false=-2.0),
    )
