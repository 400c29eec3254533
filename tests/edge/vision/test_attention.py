"""In a crowd everybody is looked at in turn, the nearest always, and hope is followed up."""

import math

from ostiary.edge.core.faces.tracking import Track
from ostiary.edge.vision.attention import due
from ostiary.edge.vision.pipeline import MAX_FACES
from tests.support.fakes import found_at


def crowd(count: int) -> list[Track]:
    return [Track(n, found_at(0, 0), 0.0, 0.0) for n in range(count)]


def look(tracks: list[Track], now: float, looks: int = 2) -> list[int]:
    chosen = due(tracks, looks)
    for track in chosen:
        track.looked_s = now
    return [track.id for track in chosen]


def test_few_faces_are_all_looked_at_in_each_frame() -> None:
    tracks = crowd(MAX_FACES)
    assert look(tracks, 0.0) == look(tracks, 0.1) == [0, 1, 2, 3]


def test_nearest_first_and_everybody_in_a_round() -> None:
    tracks = crowd(30)
    rounds = [look(tracks, now) for now in range(10)]
    assert rounds[0] == [0, 1, 2, 3]
    assert rounds[1] == [0, 4, 5, 6]
    assert all(0 in chosen for chosen in rounds)
    assert {number for chosen in rounds for number in chosen} == set(range(30))


def test_whoever_was_recognised_once_is_looked_at_again_at_once_and_not_for_ever() -> None:
    tracks = crowd(30)
    look(tracks, 0.0)
    tracks[3].promising = 1
    assert 3 in look(tracks, 1.0)
    tracks[3].promising = 2
    assert 3 not in look(tracks, 2.0)


def test_a_newcomer_comes_before_those_who_were_seen() -> None:
    tracks = crowd(5)
    look(tracks, 0.0)
    look(tracks, 1.0)
    new = Track(9, found_at(0, 0), 2.0, 2.0)
    assert new.looked_s == -math.inf
    assert 9 in look([*tracks, new], 2.0)
