"""Who is enrolled: whom a probe is compared with, at which tau, and who is barred."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from ostiary.edge.access.enrolled import Enrolled
from ostiary.edge.config import Config
from ostiary.edge.core.rules.access import Moment, Rights, Span
from ostiary.edge.core.scores.calibration import Threshold, threshold
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.scores.verifier import Verifier, probability
from ostiary.edge.core.types import Candidate, Floats, Probe, Reason
from tests.support import made_verifier
from tests.support.fakes import curve, curves, unit

DIM = 8
ALICE, BOB, CAROL, DAVE = (row[None] for row in unit(np.eye(DIM)[:4]))
FREE = Rights()
MONDAY_NOON = Moment(1e9, 0, 720)


@dataclass(frozen=True)
class Asked:
    """What a probe of Alice gives."""

    candidates: tuple[Candidate, ...]
    barred: Reason | None


def profile(mode: str, access: dict[str, object], verifier: bool = False) -> Config:
    raw = {
        "device": {"site": "hq", "id": "door"}, "bundle": {"path": "b"}, "camera": {"url": "v4l2:"},
        "state": {"path": "s"}, "access": access,
        "recognition": {"mode": mode, "verifier": verifier},
    }  # fmt: skip
    return msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))


PHOTOS = Curves(
    {1: curve(), 2: curve(start=0.1), 3: curve(start=0.2)}, {1: curve(start=0.3)}, "women"
)


def made(moment: Moment = MONDAY_NOON, mode: str = "identify", **access: object) -> Enrolled:
    return Enrolled(DIM, curves(), profile(mode, access), lambda: moment)


def seen(enrolled: Enrolled, claim: str | None = None) -> Asked:
    candidates = enrolled.candidates(Probe(ALICE[0]), claim)
    return Asked(candidates, enrolled.barred(candidates))


def test_changes_are_taken_over_and_tau_follows() -> None:
    enrolled = made()
    empty = enrolled.tau
    enrolled.change([("alice", ALICE, FREE, 0), ("bob", np.vstack([BOB, CAROL]), FREE, 0)], [])
    assert enrolled.gallery.subjects == ["alice", "bob"]
    assert set(enrolled.rights) == {"alice", "bob"}
    assert enrolled.tau.k == 3
    assert enrolled.tau.tau > empty.tau
    enrolled.change([("dave", DAVE, FREE, 0), ("alice", BOB, FREE, 0)], ["bob", "nobody"])
    assert enrolled.gallery.subjects == sorted(enrolled.rights) == ["alice", "dave"]
    found = enrolled.gallery.verify(BOB[0], "alice")
    assert found is not None
    assert found.score == pytest.approx(1)
    enrolled.change([], ["alice", "dave"])
    assert (len(enrolled.gallery), enrolled.rights, enrolled.tau) == (0, {}, empty)


def test_tau_is_derived_once_and_the_gallery_is_not_built_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enrolled = made()
    gallery = enrolled.gallery
    derived: list[int] = []
    whole = enrolled._derive

    def derive() -> None:
        derived.append(1)
        whole()

    monkeypatch.setattr(enrolled, "_derive", derive)
    enrolled.change([("alice", ALICE, FREE, 0), ("bob", BOB, FREE, 0)], ["carol", "dave"])
    assert enrolled.gallery is gallery
    assert derived == [1]


def test_somebody_without_a_usable_template_is_not_searched() -> None:
    enrolled = made()
    enrolled.change([("alice", ALICE, FREE, 0), ("bob", None, FREE, 0)], [])
    enrolled.change([("alice", None, FREE, 0)], [])
    assert len(enrolled.gallery) == len(enrolled.rights) == 0
    assert seen(enrolled).candidates == ()
    assert seen(enrolled).barred is None


def test_of_several_changes_of_one_subject_the_last_counts_and_removal_before_all() -> None:
    enrolled = made()
    enrolled.change([("alice", None, FREE, 0), ("alice", ALICE, FREE, 0)], [])
    assert "alice" in enrolled.gallery
    enrolled.change([("alice", ALICE, FREE, 0), ("bob", BOB, FREE, 0)], ["alice"])
    assert enrolled.gallery.subjects == list(enrolled.rights) == ["bob"]


def test_templates_that_can_not_be_searched_do_not_keep_anybody_in() -> None:
    """Whoever follows the roster has checked them; if not, what was taken away stays away."""
    enrolled = made()
    enrolled.change([("alice", ALICE, FREE, 0), ("bob", BOB, FREE, 0)], [])
    suspended = Rights(suspended=True)
    with pytest.raises(ValueError, match="unit length"):
        enrolled.change([("alice", 2 * ALICE, suspended, 0)], ["bob"])
    assert enrolled.gallery.subjects == ["alice"]
    assert seen(enrolled).barred is Reason.SUSPENDED


@pytest.mark.parametrize(
    ("rights", "reason"),
    [
        (FREE, Reason.NOT_HERE),
        (Rights(("staff",)), None),
        (Rights(("staff",), suspended=True), Reason.SUSPENDED),
        (Rights(("staff",), None, 1e9), Reason.EXPIRED),
        (Rights(("staff",), schedule=(Span(1, 720, 721),)), None),
        (Rights(("staff",), schedule=(Span(1, 721, 722),)), Reason.OUTSIDE_SCHEDULE),
    ],
)
@pytest.mark.parametrize("mode", ["identify", "verify"])
def test_the_best_candidates_rights_are_what_counts(
    rights: Rights, reason: Reason | None, mode: str
) -> None:
    enrolled = made(mode=mode, groups=["staff"])
    other = Rights(("staff",)) if reason else FREE
    enrolled.change([("alice", ALICE, rights, 0), ("bob", BOB, other, 0)], [])
    evidence = seen(enrolled, "alice")
    assert evidence.candidates[0].subject == "alice"
    assert evidence.barred is reason


def test_a_door_that_stands_alone_bars_nobody() -> None:
    enrolled = made()
    enrolled.change([("alice", ALICE, Rights(suspended=True), 0)], [])
    enrolled.load([("alice", ALICE, 0), ("bob", BOB, 0)])
    assert enrolled.rights == {}
    assert enrolled.gallery.subjects == ["alice", "bob"]
    assert seen(enrolled).barred is None


@pytest.mark.parametrize("rights", [FREE, Rights(suspended=True), None])
def test_a_stale_roster_bars_everybody_and_says_so(rights: Rights | None) -> None:
    enrolled = made()
    if rights is None:
        enrolled.load([("alice", ALICE, 0)])
    else:
        enrolled.change([("alice", ALICE, rights, 0)], [])
    before = seen(enrolled).barred
    enrolled.stale = True
    assert seen(enrolled).barred is Reason.ROSTER_STALE
    enrolled.stale = False
    assert seen(enrolled).barred is before


def test_time_passes_between_two_looks() -> None:
    enrolled = made()
    moments = iter([Moment(999.0, 0, 0), Moment(1000.0, 0, 0)])
    enrolled._moment = lambda: next(moments)
    enrolled.change([("alice", ALICE, Rights(valid_until_s=1000.0), 0)], [])
    assert [seen(enrolled).barred for _ in range(2)] == [None, Reason.EXPIRED]


def test_equal_rights_of_many_take_the_room_of_one() -> None:
    enrolled = made()
    names = [f"s{n}" for n in range(50)]
    enrolled.change(
        [(s, ALICE, Rights(tuple("ab"), schedule=(Span(31, 8, 9),)), 0) for s in names], []
    )
    assert len({id(rights) for rights in enrolled.rights.values()}) == 1


def test_any_history_ends_as_if_built_at_once() -> None:
    rng = np.random.default_rng(3)
    enrolled = made()
    held: dict[str, Floats] = {}
    for _ in range(60):
        put: list[tuple[str, Floats | None, Rights, int]] = []
        gone: list[str] = []
        for number in rng.permutation(40)[: rng.integers(1, 12)]:
            name, kind = f"s{number}", rng.random()
            held.pop(name, None)
            if kind < 0.3:
                gone.append(name)
            elif kind < 0.4:
                put.append((name, None, FREE, 0))
            else:
                held[name] = unit(rng.standard_normal((rng.integers(1, 3), DIM)))
                put.append((name, held[name], Rights((f"g{rng.integers(9)}",)), 0))
        enrolled.change(put, gone)
    whole = Gallery(DIM)
    whole.put_many(held.items())
    assert enrolled.gallery.subjects == sorted(enrolled.rights) == sorted(held)
    assert enrolled.tau.k == len(whole)
    for _ in range(20):
        probe = unit(rng.standard_normal(DIM))
        assert enrolled.gallery.identify(probe) == whole.identify(probe)


def with_head() -> Enrolled:
    """Verify mode with a logistic head; unit vectors in other directions are two apart in L1."""
    head = Verifier(np.full(DIM, -8.0), 8.0), made_verifier.made("e" * 64, DIM).curve()
    return Enrolled(DIM, curves(), profile("verify", {}, True), lambda: MONDAY_NOON, head)


def test_a_claim_must_convince_the_head_too() -> None:
    enrolled = with_head()
    enrolled.load([("alice", ALICE, 0), ("bob", BOB, 0)])
    least = enrolled.least_probability
    assert least == probability(threshold(made_verifier.made("e" * 64, DIM).curve(), 0.001, 1).tau)
    assert 0.1 < least < 0.9
    for claim, wanted in (("alice", probability(8.0)), ("bob", probability(-8.0))):
        (candidate,) = seen(enrolled, claim).candidates
        assert candidate.probability == pytest.approx(wanted)
    assert seen(enrolled, "nobody").candidates == ()


def test_without_a_head_a_claim_needs_the_score_alone() -> None:
    enrolled = made(mode="verify")
    enrolled.load([("alice", ALICE, 0)])
    assert enrolled.least_probability is None
    assert seen(enrolled, "alice").candidates[0].probability is None


@pytest.mark.parametrize("mode", ["identify", "verify"])
def test_tau_knows_the_photos_per_template_and_visits(mode: str) -> None:
    enrolled = Enrolled(DIM, PHOTOS, profile(mode, {}), lambda: MONDAY_NOON)

    def expected(visit: bool) -> Threshold:
        if mode == "verify":
            return PHOTOS.claim(0.001, enrolled.by_photos, visit)
        return PHOTOS.identify(0.01, enrolled.by_photos, visit)

    taus = []
    for photos in (1, 2, 3):
        enrolled.change([("alice", ALICE, FREE, photos), ("bob", BOB, FREE, 1)], [])
        assert enrolled.photo_tau == expected(visit=False)
        assert enrolled.tau == expected(visit=True)
        assert enrolled.tau.tau > enrolled.photo_tau.tau
        taus.append(enrolled.photo_tau.tau)
    assert taus[0] < taus[1] < taus[2]
    enrolled.change([("alice", ALICE, FREE, 0)], [])
    assert enrolled.photo_tau.tau == pytest.approx(taus[2]), "an unknown number is the strictest"
    enrolled.change([], ["alice"])
    assert enrolled.photo_tau.tau < taus[0] or mode == "verify"
    enrolled.load([("alice", ALICE, 3), ("bob", BOB, 1)])
    assert enrolled.photo_tau.tau == taus[2]


@pytest.mark.parametrize("claim", [None, "alice"])
def test_a_score_is_the_mean_of_the_frames_and_never_more_than_the_newest_give(
    claim: str | None,
) -> None:
    enrolled = made(mode="verify" if claim else "identify")
    enrolled.load([("alice", ALICE, 0)])
    frames = np.stack([ALICE[0], ALICE[0], BOB[0]])
    mean = frames.mean(0, dtype=np.float64)
    probe = Probe(unit(mean), 3, float(np.linalg.norm(mean)))
    (best, *_) = enrolled.candidates(probe, claim)
    assert best.score == pytest.approx(float((frames @ ALICE[0]).mean()), abs=1e-6)
    (held, *_) = enrolled.candidates(probe, claim, BOB[0])
    assert held.score == pytest.approx(float(BOB[0] @ ALICE[0]), abs=1e-6)
    (kept, *_) = enrolled.candidates(probe, claim, ALICE[0])
    assert kept.score == best.score
