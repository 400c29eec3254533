"""The guard: what was gained and lost, on the same photos; no state that lost much is kept."""

import math

import numpy as np
import pytest

from ostiary.edge.core.scores.metrics import Rate, tar_at_fmr
from ostiary.edge.errors import PhotoError
from ostiary.training.judge import guard
from ostiary.training.judge.guard import (
    FMR,
    FMRS,
    MAX_LOSS,
    Change,
    TarGuard,
    ViewEmbeddings,
    ViewPairing,
)
from tests.support.training.lesson import NIGHT, PHOTOS, encoder, people


def test_the_guard_holds_a_state_against_the_start() -> None:
    taught = encoder()
    shown = guard.views(PHOTOS.choosing.images, PHOTOS.choosing.person, NIGHT, 1)
    seen = guard.look(taught, shown)
    now = tar_at_fmr(seen.pairs("plain_plain"), FMR)
    held = TarGuard(taught, shown, now + 0.004, 0.005)()
    lost = TarGuard(taught, shown, now + 0.006, 0.005)()
    assert held.guard == lost.guard == now
    assert lost.tar is not None
    assert held.figure == 1 - tar_at_fmr(seen.pairs("domain_domain"), FMR) == 1 - lost.tar
    assert lost.figure == math.inf


def test_what_the_judges_see_does_not_change_from_look_to_look() -> None:
    images, person = PHOTOS.judging.images, PHOTOS.judging.person
    first, again, other = (guard.views(images, person, NIGHT, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.domain, again.domain)
    assert not np.array_equal(first.domain, other.domain)
    assert np.array_equal(first.plain, images)


def seen(genuine: dict[str, float]) -> ViewEmbeddings:
    """150 people of two photos; the second of a few of them is off, in the domain or as it is."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (150, 64)).astype(np.float32)
    person = np.repeat(np.arange(150), 2)
    rows = {}
    for view in ("plain", "domain"):
        rows[view] = centres[person].copy()
        off = round(150 * genuine[view])
        rows[view][1 : 2 * off : 2] = rng.normal(0, 1, (off, 64))
        rows[view] /= np.linalg.norm(rows[view], axis=1, keepdims=True)
    return ViewEmbeddings(rows["plain"], rows["domain"], person)


def test_a_gain_is_a_difference_of_the_same_photos() -> None:
    before, after = seen({"plain": 0.0, "domain": 0.4}), seen({"plain": 0.02, "domain": 0.1})
    found = {(c.comparison, c.fmr): c for c in guard.changes(before, after)}
    assert set(found) == {(name, FMR) for name in guard.COMPARISONS}
    domain, plain = found["domain_domain", FMR], found["plain_plain", FMR]
    assert (domain.before.value, domain.after.value) == pytest.approx((0.6, 0.9), abs=0.01)
    assert domain.gain.value == domain.after.value - domain.before.value
    assert 0.2 < domain.gain.low < domain.gain.value < domain.gain.high < 0.4
    assert plain.gain.value == pytest.approx(-0.02, abs=0.005)


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ((0.0, 0.4), (0.0, 0.1), []),
        ((0.0, 0.4), (0.04, 0.1), ["on unchanged photos TAR falls by 0.0"]),
        ((0.0, 0.1), (0.0, 0.1), ["in the domain TAR changes by +0.0000, which may be chance"]),
        (
            (0.0, 0.1),
            (0.04, 0.4),
            [
                "on unchanged photos",
                "in the domain TAR changes by -0.3",
                "with templates of unchanged photos and probes in the domain TAR falls by 0.3",
            ],
        ),
    ],
)
def test_a_new_id_has_to_be_earned(
    before: tuple[float, float], after: tuple[float, float], says: list[str]
) -> None:
    looks = [seen({"plain": plain, "domain": domain}) for plain, domain in (before, after)]
    found = guard.objections(guard.changes(*looks), 0.02)
    assert sorted(map(len, [found])) == [len(says)]
    assert all(any(part in problem for problem in found) for part in says)


NIGHT_OF_THE_DOCS: dict[ViewPairing, Rate] = {
    "domain_domain": Rate(0.121, 0.091, 0.150),
    "plain_domain": Rate(0.064, 0.045, 0.084),
    "plain_plain": Rate(-0.0003, -0.0029, 0.0032),
}


def told(**gains: Rate) -> list[str]:
    """What is objected to these gains at the FMR where the limits count, and to any at another."""
    night = {name: gains.pop(name, gain) for name, gain in NIGHT_OF_THE_DOCS.items()}
    assert not gains, "no such comparison"
    found = [
        Change(name, fmr, Rate(0.9, 0.8, 1.0), Rate(0.9, 0.8, 1.0), gain)
        for name, counts in night.items()
        for fmr, gain in ((FMR, counts), (FMRS[-1], Rate(-0.3, -0.4, -0.2)))
    ]
    return guard.objections(found, MAX_LOSS)


def test_a_loss_that_is_not_ruled_out_is_no_loss_that_is_allowed() -> None:
    assert told() == []
    (said,) = told(plain_plain=Rate(0.001, -0.0051, 0.004))
    assert "TAR changes by +0.0010, but a fall by 0.0051, more than the 0.005 allowed" in said
    assert "give several photos of more people" in said
    assert told(plain_plain=Rate(-0.002, -0.005, 0.001)) == []
    (said,) = told(plain_plain=Rate(-0.006, -0.01, -0.002))
    assert "TAR falls by 0.0060, more than the 0.005 allowed" in said


def test_what_a_door_compares_may_not_fall() -> None:
    (said,) = told(plain_domain=Rate(-0.02, -0.03, -0.0001))
    assert "with templates of unchanged photos and probes in the domain TAR falls by 0.0200" in said
    assert told(plain_domain=Rate(-0.01, -0.03, 0.0)) == []


def test_too_few_photos_to_judge_by_are_refused() -> None:
    few = people(60, 2, 5)
    with pytest.raises(PhotoError, match=r"120 photos of 60 people.* 7,080 impostor pairs, 10,000"):
        guard.views(few.images, few.person, NIGHT, 0)
    alone = people(160, 1, 5)
    with pytest.raises(PhotoError, match="too few to evaluate on"):
        guard.views(alone.images, alone.person, NIGHT, 0)
