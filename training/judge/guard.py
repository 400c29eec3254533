"""Measures what a fine-tuning gained in the camera's domain and lost on unchanged photos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ostiary.edge.core.scores.metrics import Pairs, Rate, tar_at_fmr, tar_interval, tar_loss
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.export.faces.pairs import LEAST_IMPOSTORS, all_pairs
from ostiary.export.graphs.run import Images
from ostiary.training.data.augment import Augmentation, augment
from ostiary.training.encoders.architectures import Encoder
from ostiary.training.judge.embed import eer, embed
from ostiary.training.run.loop import EpochVerdict

FMR = 1e-3
"""The FMR at which the limits apply."""
FMRS = (FMR, 1e-4)
ViewPairing = Literal["plain_plain", "plain_domain", "domain_domain"]
"""The views of template and probe: "plain" for unchanged photos, "domain" for simulated ones."""
COMPARISONS: tuple[ViewPairing, ...] = ("domain_domain", "plain_domain", "plain_plain")
MAX_LOSS = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Photos (n, h, w, 3) uint8 BGR, unchanged and as a domain shows them, and their people."""

    plain: Images
    domain: Images
    person: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ViewEmbeddings:
    """An encoder's embeddings (n, dim) of both views, and the people on the photos."""

    plain: Floats
    domain: Floats
    person: NDArray[np.int64]

    def pairs(self, comparison: ViewPairing) -> Pairs:
        """All pairs of photos. Raises PhotoError if there is no genuine or no impostor pair."""
        templates = self.domain if comparison == "domain_domain" else self.plain
        probes = self.plain if comparison == "plain_plain" else self.domain
        return all_pairs(templates, probes, self.person)[2]


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TAR at an FMR before and after; `gain` is the difference, with an interval over people."""

    comparison: ViewPairing
    fmr: float
    before: Rate
    after: Rate
    gain: Rate


def views(images: Images, person: NDArray[np.int64], how: Augmentation, seed: int) -> Views:
    """Photos, both unchanged and changed by `how`; each change depends on the photo's position and
    `seed`.

    Raises PhotoError if there are too few pairs to measure TAR at FMR.
    """
    # Number the people again: an unused number would be drawn like a person without photos.
    _, owner, count = np.unique(person, return_inverse=True, return_counts=True)
    impostors = (len(owner) ** 2 - int((count**2).sum())) // 2
    if impostors * FMR < LEAST_IMPOSTORS or count.max() < 2:
        raise PhotoError(
            f"{len(owner)} photos of {len(count)} people are too few to evaluate on:"
            f" {impostors:,} impostor pairs, {LEAST_IMPOSTORS / FMR:,.0f} are needed",
            "give photos of more people, and two or more of many of them",
        )
    changed = [augment(im, np.random.default_rng([seed, i]), how) for i, im in enumerate(images)]
    return Views(images, np.stack(changed), owner)


def look(encoder: Encoder, shown: Views) -> ViewEmbeddings:
    """The encoder's embeddings of both views."""
    return ViewEmbeddings(embed(encoder, shown.plain), embed(encoder, shown.domain), shown.person)


@dataclass(frozen=True, slots=True, eq=False)
class TarGuard:
    """Evaluates an epoch by its share of misses in the domain, 1 - TAR. An epoch whose TAR on
    unchanged photos is more than `max_loss` below `start` never becomes the best."""

    encoder: Encoder
    shown: Views
    start: float
    max_loss: float

    def __call__(self) -> EpochVerdict:
        seen = look(self.encoder, self.shown)
        guard = tar_at_fmr(seen.pairs("plain_plain"), FMR)
        genuine, impostor, pairs = all_pairs(seen.domain, seen.domain, seen.person)
        tar = tar_at_fmr(pairs, FMR)
        held = self.start - guard <= self.max_loss
        return EpochVerdict(1 - tar if held else math.inf, eer(genuine, impostor), tar, guard)


def changes(before: ViewEmbeddings, after: ViewEmbeddings) -> list[Change]:
    """TAR before and after on the same photos, at each of FMRS that has enough pairs."""
    found = []
    for comparison in COMPARISONS:
        old, new = before.pairs(comparison), after.pairs(comparison)
        for fmr in (fmr for fmr in FMRS if fmr * old.impostors >= LEAST_IMPOSTORS):
            rates = tar_interval(old, fmr), tar_interval(new, fmr)
            found.append(Change(comparison, fmr, *rates, tar_loss(new, old, fmr)))
    return found


def objections(found: list[Change], max_loss: float) -> list[str]:
    """The reasons why the new encoder is not worth making all templates again; empty if it is."""
    problems = []
    for change in (change for change in found if change.fmr == FMR):
        gain = change.gain
        if change.comparison == "plain_plain" and -gain.value > max_loss:
            problems.append(
                f"on unchanged photos TAR falls by {-gain.value:.4f}, more than the"
                f" {max_loss} allowed"
            )
        elif change.comparison == "plain_plain" and -gain.low > max_loss:
            problems.append(
                f"on unchanged photos TAR changes by {gain.value:+.4f}, but a fall by"
                f" {-gain.low:.4f}, more than the {max_loss} allowed, is not ruled out:"
                " give several photos of more people"
            )
        if change.comparison == "plain_domain" and gain.high < 0:
            problems.append(
                "with templates of unchanged photos and probes in the domain TAR falls by"
                f" {-gain.value:.4f} (95 % interval {-gain.high:.4f} to {-gain.low:.4f})"
            )
        if change.comparison == "domain_domain" and gain.low <= 0:
            problems.append(
                f"in the domain TAR changes by {gain.value:+.4f}, which may be chance"
                f" (95 % interval {gain.low:+.4f} to {gain.high:+.4f})"
            )
    return problems
