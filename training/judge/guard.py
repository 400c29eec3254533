"""What a fine-tuning gained where a camera sees badly, and whether it lost anything elsewhere."""

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
"""Where the limits count."""
FMRS = (FMR, 1e-4)
ViewPairing = Literal["plain_plain", "plain_domain", "domain_domain"]
"""Template and probe: photos as they are, or as the camera's domain shows them."""
COMPARISONS: tuple[ViewPairing, ...] = ("domain_domain", "plain_domain", "plain_plain")
MAX_LOSS = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Photos as they are and as a domain shows them, (n, h, w, 3) uint8 BGR each, and whose."""

    plain: Images
    domain: Images
    person: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ViewEmbeddings:
    """The embeddings (n, dim) that an encoder makes of both views, and whose they are."""

    plain: Floats
    domain: Floats
    person: NDArray[np.int64]

    def pairs(self, comparison: ViewPairing) -> Pairs:
        """Every pair of the photos. Raises PhotoError where there is none of a kind."""
        templates = self.domain if comparison == "domain_domain" else self.plain
        probes = self.plain if comparison == "plain_plain" else self.domain
        return all_pairs(templates, probes, self.person)[2]


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TAR at an FMR before and after; `gain` is the difference with its interval over people."""

    comparison: ViewPairing
    fmr: float
    before: Rate
    after: Rate
    gain: Rate


def views(images: Images, person: NDArray[np.int64], how: Augmentation, seed: int) -> Views:
    """Some people's photos and the same in a domain, each changed by what its place draws.

    Raises PhotoError where they are too few for FMR to be measured.
    """
    # Numbered anew: a number that nobody has would be drawn like a person without photos.
    _, owner, count = np.unique(person, return_inverse=True, return_counts=True)
    impostors = (len(owner) ** 2 - int((count**2).sum())) // 2
    if impostors * FMR < LEAST_IMPOSTORS or count.max() < 2:
        raise PhotoError(
            f"{len(owner)} photos of {len(count)} people are too few to judge by:"
            f" {impostors:,} impostor pairs, {LEAST_IMPOSTORS / FMR:,.0f} are needed",
            "give photos of more people, at least two of many of them",
        )
    changed = [augment(im, np.random.default_rng([seed, i]), how) for i, im in enumerate(images)]
    return Views(images, np.stack(changed), owner)


def look(encoder: Encoder, shown: Views) -> ViewEmbeddings:
    """What an encoder makes of them."""
    return ViewEmbeddings(embed(encoder, shown.plain), embed(encoder, shown.domain), shown.person)


@dataclass(frozen=True, slots=True, eq=False)
class TarGuard:
    """Judges an epoch: the best is that with the fewest misses in the domain, of those only that
    lost no more than `max_loss` of `start`, the TAR on photos as they are."""

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
    """TAR before and after of the same photos, at each of FMRS that their pairs can show."""
    found = []
    for comparison in COMPARISONS:
        old, new = before.pairs(comparison), after.pairs(comparison)
        for fmr in (fmr for fmr in FMRS if fmr * old.impostors >= LEAST_IMPOSTORS):
            rates = tar_interval(old, fmr), tar_interval(new, fmr)
            found.append(Change(comparison, fmr, *rates, tar_loss(new, old, fmr)))
    return found


def objections(found: list[Change], max_loss: float) -> list[str]:
    """Why the new encoder is not worth that everybody's templates are made anew; empty: it is."""
    problems = []
    for change in (change for change in found if change.fmr == FMR):
        gain = change.gain
        if change.comparison == "plain_plain" and -gain.value > max_loss:
            problems.append(
                f"on photos as they are TAR falls by {-gain.value:.4f}, allowed are {max_loss}"
            )
        elif change.comparison == "plain_plain" and -gain.low > max_loss:
            problems.append(
                f"on photos as they are TAR changes by {gain.value:+.4f}, and a fall by"
                f" {-gain.low:.4f} is not ruled out, allowed are {max_loss}:"
                " more people with several photos settle it"
            )
        if change.comparison == "plain_domain" and gain.high < 0:
            problems.append(
                "in the domain against templates of photos as they are TAR falls by"
                f" {-gain.value:.4f}, from {-gain.high:.4f} to {-gain.low:.4f}"
            )
        if change.comparison == "domain_domain" and gain.low <= 0:
            problems.append(
                f"in the domain TAR rises by {gain.value:+.4f}, which may be chance:"
                f" {gain.low:+.4f} to {gain.high:+.4f}"
            )
    return problems
