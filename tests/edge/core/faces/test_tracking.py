"""Tracks follow faces, and never carry one person's evidence over to the next."""

import numpy as np
import pytest

from ostiary.edge.core.faces.tracking import Tracker, TrackRules, fuse
from ostiary.edge.core.pad.liveness import Liveness
from ostiary.edge.core.pad.rules import Presentation
from ostiary.edge.runtime.heads.pad_file import unmeasured
from tests.support.fakes import found_at, unit

PAD = unmeasured(0.5, 4)
LIVE = {"pad": 3.0}
RULES = TrackRules(min_iou=0.3, forget_s=0.5, window=4, min_same_score=0.3)
A, B = unit([1.0, 0.1, 0.0]), unit([0.0, 0.1, 1.0])


def test_a_face_that_moves_a_little_keeps_its_track() -> None:
    tracker = Tracker(RULES)
    ids = [tracker.update([found_at(10 * i, 0)], i * 0.1)[0].id for i in range(10)]
    assert set(ids) == {ids[0]}


def test_two_faces_keep_their_own_tracks_whatever_their_order() -> None:
    tracker = Tracker(RULES)
    left, right = tracker.update([found_at(0, 0), found_at(300, 0)], 0.0)
    again = tracker.update([found_at(305, 0), found_at(5, 0)], 0.1)
    assert [track.id for track in again] == [right.id, left.id]


def test_the_best_overlap_wins() -> None:
    tracker = Tracker(RULES)
    left, right = tracker.update([found_at(0, 0), found_at(60, 0)], 0.0)
    again = tracker.update([found_at(50, 0), found_at(-5, 0)], 0.1)
    assert [track.id for track in again] == [right.id, left.id]


def test_a_face_that_was_away_too_long_is_a_new_one() -> None:
    tracker = Tracker(RULES)
    first = tracker.update([found_at(0, 0)], 0.0)[0].id
    tracker.update([], 0.3)
    assert tracker.update([found_at(0, 0)], 0.45)[0].id == first
    assert tracker.update([found_at(0, 0)], 1.1)[0].id != first


def test_a_jump_is_a_new_track() -> None:
    tracker = Tracker(RULES)
    first = tracker.update([found_at(0, 0)], 0.0)[0].id
    assert tracker.update([found_at(200, 0)], 0.1)[0].id != first


def test_the_newest_frames_are_fused_to_their_mean_direction() -> None:
    tracker = Tracker(RULES)
    track = tracker.update([found_at(0, 0)], 0.0)[0]
    vectors = unit(np.array([1.0, 0.2, 0.1]) + 0.1 * np.random.default_rng(0).normal(size=(6, 3)))
    for vector in vectors:
        visit = tracker.add(track, vector)
    expected = vectors[-4:].astype(np.float64).mean(0)
    newest = fuse(track.embeddings)
    assert newest == pytest.approx(expected / np.linalg.norm(expected), abs=1e-6)
    probe = visit.probe()
    assert probe is not None
    assert probe.frames == 6


def test_another_person_in_the_same_place_starts_over() -> None:
    """Liveness and votes of a live person must not count for a photo held up in their place."""
    tracker = Tracker(RULES)
    track = tracker.update([found_at(0, 0)], 0.0)[0]
    track.liveness = Liveness(PAD)
    for _ in range(4):
        tracker.add(track, A)
        track.liveness.look(LIVE, 0.0)
    assert track.liveness.verdict(0.0).presentation is Presentation.BONA_FIDE
    first = track.id
    visit = tracker.add(track, B)
    assert track.id != first
    assert track.liveness.verdict(0.0).presentation is Presentation.UNDECIDED
    probe = visit.probe()
    assert probe is not None
    assert probe.frames == 1


def test_what_lends_nothing_still_says_whose_visit_it_is() -> None:
    tracker = Tracker(RULES)
    track = tracker.update([found_at(0, 0)], 0.0)[0]
    visit = tracker.add(track, A, lends=False)
    assert visit.probe() is None
    assert (track.embeddings, track.lent) == ([A], [])
    again = tracker.update([found_at(300, 0)], 5.0)[0]
    assert tracker.add(again, A) is visit
    assert visit.frames == 1


def test_evidence_that_starts_over_is_not_fused_again() -> None:
    tracker = Tracker(RULES)
    track = tracker.update([found_at(0, 0)], 0.0)[0]
    for _ in range(3):
        visit = tracker.add(track, A, learnable=True)
    tracker.start_over(track)
    assert visit.probe() is None
    assert (track.lent, track.learnable) == ([], [])
    assert tracker.add(track, A).frames == 1


def test_fusing_beats_the_single_frame() -> None:
    rng = np.random.default_rng(1)
    truth = unit(rng.normal(size=64))
    frames = unit(truth + 0.15 * rng.normal(size=(8, 64)))
    assert float(fuse(list(frames)) @ truth) > float((frames @ truth).max())
