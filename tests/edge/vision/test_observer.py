"""The observer follows the roster: whom it searches, with which tau, and whom it bars."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from ostiary.edge.config import Config
from ostiary.edge.core.faces.quality import Quality
from ostiary.edge.core.rules.access import Moment, Rights, Span
from ostiary.edge.core.scores.calibration import DetCurve, threshold
from ostiary.edge.core.scores.matching import Gallery
from ostiary.edge.core.scores.verifier import Verifier, probability
from ostiary.edge.core.types import Floats, Frame, Reason
from ostiary.edge.vision.observer import Observer
from tests.support import made_verifier
from tests.support.fakes import curve, face_at, image, unit

DIM = 8
ALICE, BOB, CAROL, DAVE = (row[None] for row in unit(np.eye(DIM)[:4]))
FREE = Rights()
MONDAY_NOON = Moment(1e9, 0, 720)


class OneFace:
    """A pipeline before which somebody stands, in a good picture."""

    bundle = SimpleNamespace(dim=DIM)
    curve = staticmethod(curve)

    def __init__(self) -> None:
        self.who = ALICE[0]

    def boxes(self, _image: object) -> list[int]:
        return [1]

    def faces(self, _image: object, _found: object) -> list:
        return [face_at(10, 10)]

    def align(self, _image: object, _face: object) -> None:
        return None

    def quality(self, _face: object, _aligned: object) -> Quality:
        return Quality(60.0, 0.1, 2.0, 300.0, 120.0, 45.0)

    def probe(self, _aligned: object) -> Floats:
        return self.who


def made(moment: Moment = MONDAY_NOON, mode: str = "identify", **access: object) -> Observer:
    raw = {
        "device": {"site": "hq", "id": "door"}, "bundle": {"path": "b"}, "camera": {"url": "v4l2:"},
        "state": {"path": "s"}, "access": access, "recognition": {"mode": mode},
    }  # fmt: skip
    config = msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))
    return Observer(OneFace(), config, moment=lambda: moment)


def seen(observer: Observer, claim: str | None = None):
    (sighting,) = observer.observe(Frame(image(9), 1.0, 1), claim)
    return sighting.evidence


def test_changes_are_taken_over_and_tau_follows() -> None:
    observer = made()
    empty = observer.tau
    observer.change([("alice", ALICE, FREE), ("bob", np.vstack([BOB, CAROL]), FREE)], [])
    assert observer.gallery.subjects == ["alice", "bob"]
    assert set(observer.rights) == {"alice", "bob"}
    assert observer.tau.k == 3
    assert observer.tau.tau > empty.tau
    observer.change([("dave", DAVE, FREE), ("alice", BOB, FREE)], ["bob", "nobody"])
    assert observer.gallery.subjects == sorted(observer.rights) == ["alice", "dave"]
    assert observer.gallery.verify(BOB[0], "alice").score == pytest.approx(1)
    observer.change([], ["alice", "dave"])
    assert (len(observer.gallery), observer.rights, observer.tau) == (0, {}, empty)


def test_tau_is_derived_once_and_the_gallery_is_not_built_anew() -> None:
    observer = made()
    gallery = observer.gallery
    derived = []
    whole = observer._tau
    observer._tau = lambda: derived.append(1) or whole()
    observer.change([("alice", ALICE, FREE), ("bob", BOB, FREE)], ["carol", "dave"])
    assert observer.gallery is gallery
    assert derived == [1]


def test_somebody_without_a_usable_template_is_not_searched() -> None:
    observer = made()
    observer.change([("alice", ALICE, FREE), ("bob", None, FREE)], [])
    observer.change([("alice", None, FREE)], [])
    assert len(observer.gallery) == len(observer.rights) == 0
    assert seen(observer).candidates == ()
    assert seen(observer).barred is None


def test_of_several_changes_of_one_subject_the_last_counts_and_removal_before_all() -> None:
    observer = made()
    observer.change([("alice", None, FREE), ("alice", ALICE, FREE)], [])
    assert "alice" in observer.gallery
    observer.change([("alice", ALICE, FREE), ("bob", BOB, FREE)], ["alice"])
    assert observer.gallery.subjects == list(observer.rights) == ["bob"]


def test_templates_that_can_not_be_searched_do_not_keep_anybody_in() -> None:
    """Whoever follows the roster has checked them; if not, what was taken away stays away."""
    observer = made()
    observer.change([("alice", ALICE, FREE), ("bob", BOB, FREE)], [])
    suspended = Rights(suspended=True)
    with pytest.raises(ValueError, match="unit length"):
        observer.change([("alice", 2 * ALICE, suspended)], ["bob"])
    assert observer.gallery.subjects == ["alice"]
    assert seen(observer).barred is Reason.SUSPENDED


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
    observer = made(mode=mode, groups=["staff"])
    other = Rights(("staff",)) if reason else FREE
    observer.change([("alice", ALICE, rights), ("bob", BOB, other)], [])
    evidence = seen(observer, "alice")
    assert evidence.candidates[0].subject == "alice"
    assert evidence.barred is reason


def test_a_door_that_stands_alone_bars_nobody() -> None:
    observer = made()
    observer.change([("alice", ALICE, Rights(suspended=True))], [])
    observer.load([("alice", ALICE), ("bob", BOB)])
    assert observer.rights == {}
    assert observer.gallery.subjects == ["alice", "bob"]
    assert seen(observer).barred is None


@pytest.mark.parametrize("rights", [FREE, Rights(suspended=True), None])
def test_a_stale_roster_bars_everybody_and_says_so(rights: Rights | None) -> None:
    observer = made()
    if rights is None:
        observer.load([("alice", ALICE)])
    else:
        observer.change([("alice", ALICE, rights)], [])
    before = seen(observer).barred
    observer.stale = True
    assert seen(observer).barred is Reason.ROSTER_STALE
    observer.stale = False
    assert seen(observer).barred is before


def test_time_passes_between_two_looks() -> None:
    observer = made()
    moments = iter([Moment(999.0, 0, 0), Moment(1000.0, 0, 0)])
    observer._moment = lambda: next(moments)
    observer.change([("alice", ALICE, Rights(valid_until_s=1000.0))], [])
    assert [seen(observer).barred for _ in range(2)] == [None, Reason.EXPIRED]


def test_equal_rights_of_many_take_the_room_of_one() -> None:
    observer = made()
    hours = [(f"s{n}", ALICE, Rights(tuple("ab"), schedule=(Span(31, 8, 9),))) for n in range(50)]
    observer.change(hours, [])
    assert len({id(rights) for rights in observer.rights.values()}) == 1


def test_any_history_ends_as_if_built_at_once() -> None:
    rng = np.random.default_rng(3)
    observer, held = made(), {}
    for _ in range(60):
        put, gone = [], []
        for number in rng.permutation(40)[: rng.integers(1, 12)]:
            name, kind = f"s{number}", rng.random()
            held.pop(name, None)
            if kind < 0.3:
                gone.append(name)
            elif kind < 0.4:
                put.append((name, None, FREE))
            else:
                held[name] = unit(rng.standard_normal((rng.integers(1, 3), DIM)))
                put.append((name, held[name], Rights((f"g{rng.integers(9)}",))))
        observer.change(put, gone)
    whole = Gallery(DIM)
    whole.put_many(held.items())
    assert observer.gallery.subjects == sorted(observer.rights) == sorted(held)
    assert observer.tau.k == len(whole)
    for _ in range(20):
        probe = unit(rng.standard_normal(DIM))
        assert observer.gallery.identify(probe) == whole.identify(probe)


class Judging(OneFace):
    """The same with a logistic head: unit vectors in other directions are two apart in L1."""

    @staticmethod
    def head() -> tuple[Verifier, DetCurve]:
        return Verifier(np.full(DIM, -8.0), 8.0), made_verifier.made("e" * 64, DIM).curve()


def judging(verifier: bool = True, mode: str = "verify") -> Observer:
    raw = {
        "device": {"site": "hq", "id": "door"}, "bundle": {"path": "b"}, "camera": {"url": "v4l2:"},
        "state": {"path": "s"}, "recognition": {"mode": mode, "verifier": verifier},
    }  # fmt: skip
    config = msgspec.convert(raw, Config, dec_hook=lambda kind, value: kind(value))
    return Observer(Judging(), config, moment=lambda: MONDAY_NOON)


def test_a_claim_is_put_to_the_head_where_the_profile_says_so() -> None:
    observer = judging()
    observer.load([("alice", ALICE), ("bob", BOB)])
    least = observer.least_probability
    assert least == probability(threshold(made_verifier.made("e" * 64, DIM).curve(), 0.001, 1).tau)
    assert 0.1 < least < 0.9
    for claim, wanted in (("alice", probability(8.0)), ("bob", probability(-8.0))):
        evidence = seen(observer, claim)
        (candidate,) = evidence.candidates
        assert candidate.probability == pytest.approx(wanted)
        assert evidence.least_probability == least
    assert seen(observer, "nobody").candidates == ()


def test_without_the_profiles_word_no_head_is_asked() -> None:
    observer = judging(verifier=False)
    observer.load([("alice", ALICE)])
    evidence = seen(observer, "alice")
    assert (evidence.least_probability, evidence.candidates[0].probability) == (None, None)
