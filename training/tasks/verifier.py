"""The logistic head over |f(a) - f(b)|: fit, calibrated and evaluated on separate people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from ostiary.edge.core.scores.calibration import count_scores
from ostiary.edge.core.scores.verifier import Verifier, probability
from ostiary.edge.core.types import Floats
from ostiary.edge.errors import PhotoError
from ostiary.edge.runtime.det import Counts
from ostiary.edge.runtime.heads import verifier_file
from ostiary.edge.runtime.heads.verifier_file import LEAST_PEOPLE, Judged, VerifierFile
from ostiary.training.judge import reliability
from ostiary.training.judge.pairs import PairRows, pairs_of
from ostiary.training.judge.reliability import Ranking, Rows, Values

GRID = np.round(np.arange(-60, 30.001, 0.05), 2)
"""Logits at which pairs are counted. Above 30, float64 cannot tell probabilities apart."""
STRENGTHS = (1e-4, 3e-4, 1e-3, 1e-2)
"""Regularisation strengths to try. Weaker ones overfit to a few hundred people."""
LEAST_CALIBRATED = 20
MOST_PAIRS = 100
"""The most genuine pairs of a person to fit and to calibrate on. Pairs grow by the square of the
photos, so a person with many photos would otherwise outweigh everybody else."""
MOST_IMPOSTORS = 10_000_000
"""The most impostor pairs to calibrate and to evaluate on: a pair takes some 150 bytes."""
CHUNK = 1 << 15
Say = Callable[[str], None]


class VerifierSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Shares of the people to fit and to calibrate on, and how pairs are drawn.

    All other people are used to evaluate. `prior` is the share of honest claims that the
    probabilities assume. At a door with cards this share is unknown, so honest and false claims
    weigh the same.
    """

    fitted: float = 0.5
    calibrated: float = 0.15
    impostors: int = 50_000
    """The number of impostor pairs drawn to fit on."""
    prior: float = 0.5
    strengths: tuple[float, ...] = STRENGTHS
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Embeddings of photos (n, dim) by the float encoder, and the `person` (n,) of each.

    `probes` are the embeddings of the same photos by the int8 encoder, if the bundle has one.
    """

    templates: Floats
    person: Rows
    probes: Floats | None = None

    def of(self, kept: NDArray[np.bool_]) -> Embedded:
        """The embeddings of the photos that `kept` (n,) marks."""
        probes = None if self.probes is None else self.probes[kept]
        return Embedded(self.templates[kept], self.person[kept], probes)

    @property
    def paired(self) -> NDArray[np.bool_]:
        """(n,): true for photos of a person who has another photo."""
        _, owner, photos = np.unique(self.person, return_inverse=True, return_counts=True)
        return photos[owner] > 1

    @property
    def people(self) -> int:
        """The number of people with several photos: a single photo makes no genuine pair."""
        return len(np.unique(self.person[self.paired]))


def logits(head: Verifier, given: Embedded, pairs: PairRows) -> Values:
    """The head's logits (n,) of pairs, by the device's code; the probes are int8 ones if given."""
    return _compared(head.logits, given, pairs)


def cosines(given: Embedded, pairs: PairRows) -> Values:
    """The scores (n,) of pairs; the probes are int8 ones if given."""
    return _compared(lambda a, b: np.einsum("ij,ij->i", a, b, dtype=float), given, pairs)


def _compared(how: Callable[[Floats, Floats], Values], given: Embedded, pairs: PairRows) -> Values:
    probes = given.templates if given.probes is None else given.probes
    found = np.empty(len(pairs.first))
    for start in range(0, len(found), CHUNK):
        rows = slice(start, start + CHUNK)
        found[rows] = how(given.templates[pairs.first[rows]], probes[pairs.second[rows]])
    return found


def fit(apart: torch.Tensor, same: torch.Tensor, strength: float) -> Verifier:
    """Fit a head by L-BFGS: the least cross-entropy on |a - b| (n, dim) float64, with equal weight
    for genuine and impostor pairs, plus `strength` * sum_k (w_k - mean w)^2.

    The penalty draws the weights to each other, not to zero: a strong penalty leads to -||a -
    b||_1, which needs no fitting, and not to a head that ignores its input.
    """
    weight = torch.where(same, 0.5 / same.sum(), 0.5 / (~same).sum())
    free = torch.zeros(apart.shape[1], dtype=torch.float64, requires_grad=True)
    common = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    total = apart.sum(1)

    def loss() -> torch.Tensor:
        z = apart @ free + total * common[0] + common[1]
        told = torch.nn.functional.binary_cross_entropy_with_logits(
            z, same.double(), weight=weight, reduction="sum"
        )
        return told + strength * (free - free.mean()).square().sum()

    _minimise([free, common], loss)
    return Verifier((free + common[0]).detach().numpy(), float(common[1].detach()))


def calibrate(head: Verifier, z: Values, same: NDArray[np.bool_], prior: float) -> Verifier:
    """The same head with its logits scaled and shifted, so that its probabilities are true.

    Slope and offset are those of Platt (Probabilistic outputs for support vector machines, 1999),
    with his softened targets, so that the head does not become certain if it separates all pairs.
    Both are folded into weights and bias. Raises PhotoError if a higher logit does not mean the
    same person.
    """
    genuines, impostors = int(same.sum()), int((~same).sum())
    target = np.where(same, (genuines + 1) / (genuines + 2), 1 / (impostors + 2))
    weight = np.where(same, prior / genuines, (1 - prior) / impostors)
    given, wanted, counted = (torch.from_numpy(part) for part in (z, target, weight))
    line = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)

    def loss() -> torch.Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(
            line[0] * given + line[1], wanted, weight=counted, reduction="sum"
        )

    _minimise([line], loss)
    slope, offset = line.detach().tolist()
    if not slope > 0:
        raise PhotoError(
            "the head cannot tell apart the people it is calibrated on",
            "give photos of more people, or a better encoder",
        )
    return Verifier(head.weights * slope, head.bias * slope + offset)


def _minimise(parameters: list[torch.Tensor], loss: Callable[[], torch.Tensor]) -> None:
    search = torch.optim.LBFGS(
        parameters, max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        search.zero_grad()
        value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return float(value.detach())

    search.step(closure)  # type: ignore[no-untyped-call]


def judge(head: Verifier, given: Embedded, prior: float, seed: int = 0) -> Judged:
    """Evaluate a head, beside the plain distance, on people that it has never seen."""
    rng = np.random.default_rng(seed)
    pairs = pairs_of(given.person, rng, impostors=MOST_IMPOSTORS)
    # The cosine ranks pairs as -d^2 = 2 * cosine - 2 does.
    z, plain = logits(head, given, pairs), cosines(given, pairs)
    a, b = given.person[pairs.first], given.person[pairs.second]
    people = a[: pairs.genuines], np.stack([a, b], axis=1)[pairs.genuines :]
    auc, distance, gain = reliability.areas(pairs.split(z), pairs.split(plain), people, seed=seed)
    genuine, impostor = pairs.split(z)
    below, above = count_scores(genuine, impostor, GRID)
    said = [np.vectorize(probability)(part) for part in (genuine, impostor)]
    bins = reliability.reliability(said[0], said[1], prior)
    counts = Counts(len(impostor), len(genuine), above.tolist(), below.tolist())
    lost, error = reliability.fnmr(*pairs.split(plain)), reliability.calibration_error(bins)
    return Judged(counts, auc, distance, gain, lost, error, bins)


def train(
    given: Embedded,
    encoder_id: str,
    data_set: str,
    int8_sha256: str | None = None,
    settings: VerifierSettings | None = None,
    say: Say = lambda stage: None,
) -> VerifierFile:
    """Fit, calibrate and evaluate a head on three disjoint sets of people.

    The strength of the penalty is chosen on the calibration people. Raises PhotoError if a part
    has too few people or no pairs, BundleError if too few pairs were evaluated for a threshold.
    """
    how = settings or VerifierSettings()
    rng = np.random.default_rng(how.seed)
    fitted, calibrated, judged = _parts(given, how, rng)
    say(f"fitting on {_told(fitted)}")
    head, strength = _chosen(fitted, calibrated, how, rng)
    say(f"evaluating on {_told(judged)}")
    plain = Embedded(judged.templates, judged.person)
    file = VerifierFile(
        schema=verifier_file.SCHEMA,
        encoder_id=encoder_id,
        weights=head.weights.tolist(),
        bias=head.bias,
        prior=how.prior,
        data_set=data_set,
        fitted_people=fitted.people,
        calibrated_people=calibrated.people,
        people=judged.people,
        images=int(judged.paired.sum()),
        shrinkage=strength,
        logits=GRID.tolist(),
        float_float=judge(head, plain, how.prior, how.seed),
        int8_sha256=None if judged.probes is None else int8_sha256,
        float_int8=None if judged.probes is None else judge(head, judged, how.prior, how.seed),
    )
    file.check(encoder_id, given.templates.shape[1], file.int8_sha256)
    return file


def _parts(given: Embedded, how: VerifierSettings, rng: np.random.Generator) -> list[Embedded]:
    """Split the people into those to fit on, to calibrate on and to evaluate on."""
    shuffled = rng.permutation(np.unique(given.person))
    cuts = np.array([how.fitted, how.fitted + how.calibrated]) * len(shuffled)
    chosen = np.split(shuffled, cuts.round().astype(int))
    parts = [given.of(np.isin(given.person, part)) for part in chosen]
    _, calibrated, judged = (part.people for part in parts)
    if calibrated < LEAST_CALIBRATED or judged < LEAST_PEOPLE:
        raise PhotoError(
            f"of {len(shuffled)} people, {calibrated} with several photos are left to calibrate on"
            f" and {judged} to evaluate on; at least {LEAST_CALIBRATED} and {LEAST_PEOPLE} are"
            " needed",
            "give several photos each of more people",
        )
    return parts


def _chosen(
    fitted: Embedded, calibrated: Embedded, how: VerifierSettings, rng: np.random.Generator
) -> tuple[Verifier, float]:
    """The calibrated head that best ranks the calibration pairs, and its strength."""
    pairs = pairs_of(fitted.person, rng, genuines=MOST_PAIRS, impostors=how.impostors)
    others = pairs_of(calibrated.person, rng, genuines=MOST_PAIRS, impostors=MOST_IMPOSTORS)
    rows = fitted.templates.astype(np.float64)
    apart = torch.from_numpy(np.abs(rows[pairs.first] - rows[pairs.second]))
    same = torch.from_numpy(pairs.same)
    held = Embedded(calibrated.templates, calibrated.person)
    found = []
    for strength in how.strengths:
        head = fit(apart, same, strength)
        z = logits(head, held, others)
        once = np.ones(others.genuines), np.ones(len(z) - others.genuines)
        found.append((Ranking(*others.split(z)).auc(*once), strength, head, z))
    _, strength, head, z = max(found, key=lambda item: item[:2])
    return calibrate(head, z, others.same, how.prior), strength


def _told(part: Embedded) -> str:
    photos, people = len(part.person), len(np.unique(part.person))
    return f"{photos} photos of {people} people, {part.people} of them with several"
