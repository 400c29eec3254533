"""Embeds crops by an encoder in training, and computes the equal error rate of scores."""

from __future__ import annotations

import numpy as np
import torch

from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.export.graphs import run
from ostiary.export.graphs.run import Images
from ostiary.training.encoders.architectures import Encoder

BATCH = 64


def embed(encoder: Encoder, images: Images, batch: int = BATCH) -> Floats:
    """Unit-length embeddings (n, dim) float32 of aligned BGR crops (n, h, w, 3), as at a door.

    The encoder's mode (training or evaluation) stays. Raises PhotoError if an embedding is not
    finite.
    """
    was = encoder.training
    encoder.eval()
    try:
        with torch.inference_mode():
            rows = [
                encoder(torch.from_numpy(given)).numpy()
                for given in run.batches(images, encoder.spec, batch)
            ]
    finally:
        encoder.train(was)
    made = np.concatenate(rows).astype(np.float32)
    if not np.isfinite(made).all():
        raise PhotoError(
            "the encoder gives embeddings that are not finite",
            "the training has diverged: lower the learning rate",
        )
    return made


def eer(genuine: Floats, impostor: Floats) -> float:
    """The equal error rate: half the sum of FNMR and FMR at the threshold where they are closest.

    `genuine` and `impostor` are scores, higher is closer. A genuine score below tau is a false
    non-match, an impostor score at or above it a false match (ISO/IEC 19795-1).
    """
    taus = np.unique(np.concatenate([genuine, impostor]))
    fnmr = np.searchsorted(np.sort(genuine), taus, side="left") / len(genuine)
    fmr = 1 - np.searchsorted(np.sort(impostor), taus, side="left") / len(impostor)
    at = int(np.argmin(np.abs(fnmr - fmr)))
    return float(fnmr[at] + fmr[at]) / 2
