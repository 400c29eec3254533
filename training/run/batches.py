"""Turns rows of photos into a batch and its loss; all randomness comes from the step's key."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ostiary.edge.core.faces.preprocess import InputSpec, to_tensor
from ostiary.export.graphs.run import Images
from ostiary.training.data.augment import Augmentation, augment
from ostiary.training.encoders.architectures import Encoder
from ostiary.training.losses.distance import BatchLoss, LossValue
from ostiary.training.run.distributed import ALONE, Team
from ostiary.training.run.loop import Key
from ostiary.training.run.sampling import Rows


@dataclass(frozen=True, slots=True, eq=False)
class Photos:
    """Aligned BGR crops (n, h, w, 3) in the form an encoder takes, augmented by `how` if given."""

    images: Images
    spec: InputSpec
    how: Augmentation | None = None

    def tensor(self, rows: Rows, key: Key, places: Rows) -> Tensor:
        """The photos of `rows` as one tensor (n, c, h, w); `places` (n,) are their positions in the
        whole batch.

        The same key, place and photo give the same pixels in every process.
        """
        pairs = zip(rows, places, strict=True)
        made = [
            to_tensor(self._image(int(row), key, int(place)), self.spec) for row, place in pairs
        ]
        return torch.from_numpy(np.concatenate(made))

    def _image(self, row: int, key: Key, place: int) -> Images:
        if self.how is None:
            return np.asarray(self.images[row])
        # Places count from 1, since numpy treats the seed (a, b, c, 0) as (a, b, c), and (a, b, c)
        # is the seed of the loss.
        rng = np.random.default_rng((*key, place + 1))
        return augment(self.images[row], rng, self.how)


@dataclass(frozen=True, slots=True, eq=False)
class Supervised:
    """The objective of training by identity: embed this process's share, gather the whole batch,
    compute the loss.

    It is Siamese (Bromley et al., Signature verification using a Siamese time delay neural network,
    1993): both photos of a pair and all three of a triplet go through one encoder in one batch, so
    that batch norm sees them together. `person` (n,) is the person on each photo.
    """

    encoder: Encoder
    loss: BatchLoss
    photos: Photos
    person: NDArray[np.int64]
    team: Team = ALONE

    def __call__(self, rows: Rows, key: Key) -> LossValue:
        places = self.team.share(np.arange(len(rows)))
        own = self.encoder(self.photos.tensor(rows[places], key, places))
        embeddings = self.team.gather(own, len(rows))
        person = torch.from_numpy(self.person[rows])
        made: LossValue = self.loss(embeddings, person, np.random.default_rng(key))
        return made
