"""Label errors: the maths against naive loops, planted errors found, clean faces left alone."""

from math import log

import numpy as np
import pytest

from ostiary.edge.errors import PhotoError
from ostiary.export.faces import labels
from ostiary.export.faces.labels import (
    FAR_AT_FIRST,
    FAR_PAIRS,
    ExponentialTail,
    Finding,
    find,
    impostor_pairs,
    resemblance,
    tails,
)
from tests.support.export.mislabelled import Faces, made_up, moved, named
from tests.support.fakes import unit

NONE_SURE = 0.0


def cosine(faces: Faces, a: int, b: int) -> float:
    return float(faces.rows[a].astype(float) @ faces.rows[b].astype(float))


def naive_own(faces: Faces, photo: int) -> float:
    mates = [m for m in range(len(faces)) if faces.person[m] == faces.person[photo] and m != photo]
    return sum(cosine(faces, photo, m) for m in mates) / len(mates) if mates else float("nan")


def naive_best(faces: Faces, photo: int) -> tuple[float, int]:
    others = [o for o in range(len(faces)) if faces.person[o] != faces.person[photo]]
    return max((cosine(faces, photo, o), o) for o in others)


def test_each_photo_is_compared_with_its_name_and_with_all_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faces = made_up(people=25, seed=3)
    # Blocks that do not divide the number of photos.
    monkeypatch.setattr(labels, "BLOCK", 7)
    seen = resemblance(faces.rows, faces.person)
    for photo in range(len(faces)):
        best, other = naive_best(faces, photo)
        assert seen.own[photo] == pytest.approx(naive_own(faces, photo), abs=1e-5, nan_ok=True)
        assert seen.best[photo] == pytest.approx(best, abs=1e-5)
        assert seen.other[photo] == other


def test_the_tails_run_through_two_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = made_up(people=40, seed=4)
    monkeypatch.setattr(labels, "BLOCK", 11)
    measured = tails(faces.rows, faces.person, FAR_PAIRS)
    pairs = sorted(
        cosine(faces, a, b)
        for a in range(len(faces))
        for b in range(a + 1, len(faces))
        if faces.person[a] != faces.person[b]
    )[::-1]
    assert impostor_pairs(faces.person) == len(pairs)
    for rank in (100, 1000):
        found = measured.pairs.beyond(np.array([pairs[rank - 1]]))
        assert found[0] == pytest.approx(rank / len(pairs), rel=1e-3)
    own = sorted(naive_own(faces, p) for p in range(len(faces)))
    own = [value for value in own if value == value]
    for rank in (5, 25):
        found = measured.photos.beyond(-np.array([own[rank - 1]]))
        assert found[0] == pytest.approx(rank / len(own), rel=1e-3)


def test_the_expected_number_is_the_least_of_three() -> None:
    faces = made_up(people=60, seed=5)
    measured = tails(faces.rows, faces.person, FAR_PAIRS)
    found = find(faces.rows, faces.person, most=len(faces), sure=NONE_SURE)
    several = int((np.bincount(faces.person)[faces.person] > 1).sum())

    def share(tail: ExponentialTail, x: float) -> float:
        return float(tail.beyond(np.array([x]))[0])

    for item in found:
        a = share(measured.pairs, naive_best(faces, item.photo)[0])
        signs = [impostor_pairs(faces.person) * a]
        own = naive_own(faces, item.photo)
        if own == own:
            b = share(measured.photos, -own)
            foreign = int((faces.person != faces.person[item.photo]).sum())
            z = b * min(foreign * a, 1.0)
            signs += [several * b, several * z * (1 - log(z))]
        assert item.expected == pytest.approx(min(signs), rel=1e-3)
    assert [item.expected for item in found] == sorted(item.expected for item in found)


def test_one_person_under_two_names_is_found_and_the_smaller_name_is_wrong() -> None:
    faces = made_up(people=200, seed=1)
    large, small = named(faces, 6)[0], named(faces, 3)[0]
    rows = np.flatnonzero(faces.person == small)
    again = faces.like(np.full(3, large), seed=9)
    faces.rows[rows] = again
    (item,) = find(faces.rows, faces.person, most=0)
    assert item.kind == "same-person"
    assert set(item.wrong) == set(rows)
    assert {faces.person[item.photo], faces.person[item.other]} == {large, small}


def test_two_photos_that_match_do_not_make_two_names_one_person() -> None:
    faces = made_up(people=200, seed=1)
    large, small = named(faces, 6)[0], named(faces, 3)[0]
    a, b = np.flatnonzero(faces.person == large)[0], np.flatnonzero(faces.person == small)[0]
    for name in (large, small):
        # Good photos, near to their person's centre.
        rows = np.flatnonzero(faces.person == name)
        photos = faces.like(np.full(len(rows), name), seed=5)
        faces.rows[rows] = unit(photos + faces.centres[name] / 8)
    # What the two photos share is as strong as what each shares with its own name.
    shared = np.random.default_rng(3).standard_normal(faces.centres.shape[1])
    for at, name in ((a, large), (b, small)):
        together = faces.centres[name] + 1.1 * shared
        faces.rows[at] = together / np.linalg.norm(together)
    (item,) = find(faces.rows, faces.person, most=0)
    assert item.kind == "alike"
    assert {item.photo, item.other} == {a, b}
    assert item.wrong == (b,)


@pytest.mark.parametrize("count", [10, 40])
def test_photos_under_other_names_are_found_and_nothing_else(count: int) -> None:
    for seed in range(3):
        faces = made_up(people=400, seed=seed)
        person, photos = moved(faces.person, count, seed)
        found = find(faces.rows, person, most=0)
        told = {row for item in found for row in item.wrong}
        assert len(told & set(photos)) >= 0.95 * count
        assert len(told - set(photos)) <= 1
        right = [item for item in found if item.photo in photos and item.kind == "misplaced"]
        for item in right:
            assert faces.person[item.other] == faces.person[item.photo]
        assert len(right) >= 0.7 * count


def test_a_stranger_among_a_names_photos_is_found_and_shown_beside_a_typical_one() -> None:
    faces = made_up(people=400, seed=2)
    name = named(faces, 6)[0]
    rows = np.flatnonzero(faces.person == name)
    # Somebody of no name here: as far from this name as two people are, and from all others too.
    away = -faces.centres.mean(0) - 0.2 * faces.centres[name]
    faces.rows[rows[2]] = away / np.linalg.norm(away)
    (item,) = find(faces.rows, faces.person, most=0)
    assert (item.kind, item.photo, item.wrong) == ("stranger", rows[2], (rows[2],))
    own = [row for row in rows if row != rows[2]]
    likes = {int(a): sum(cosine(faces, int(a), int(b)) for b in own) for a in own}
    assert item.other == max(likes, key=lambda row: likes[row])
    assert item.score == item.own == pytest.approx(naive_own(faces, rows[2]), abs=1e-5)


def test_of_two_photos_that_differ_both_are_named() -> None:
    faces = made_up(people=400, seed=2)
    name = named(faces, 2)[0]
    rows = np.flatnonzero(faces.person == name)
    faces.rows[rows[1]] = -faces.rows[rows[0]]
    (item,) = find(faces.rows, faces.person, most=0)
    assert item.kind == "stranger"
    assert sorted(item.wrong) == sorted(rows)


def test_faces_without_errors_give_as_many_findings_as_expected() -> None:
    found: list[Finding] = []
    for seed in range(5):
        faces = made_up(people=400, seed=100 + seed)
        found += find(faces.rows, faces.person, most=300, sure=NONE_SURE)
    for bar in (1.0, 10.0):
        # Three signs, each expected to give `bar` findings in each of the five folders.
        assert sum(item.expected <= bar for item in found) <= 3 * 5 * bar
    assert sum(item.expected <= 30 for item in found) >= 20


def test_the_tails_hardly_feel_the_errors() -> None:
    faces = made_up(people=400, seed=7)
    person, _ = moved(faces.person, 60, 7)
    clean, spoilt = (tails(faces.rows, p, FAR_AT_FIRST) for p in (faces.person, person))
    at = np.array([spoilt.pairs.start])
    assert float((spoilt.pairs.beyond(at) / clean.pairs.beyond(at)).item()) < 2


def test_photos_without_pairs_are_too_few() -> None:
    faces = made_up(people=8, seed=0)
    with pytest.raises(PhotoError, match="too few to tell an error from chance"):
        find(faces.rows, faces.person, most=5)
    alone = np.arange(len(faces))
    with pytest.raises(PhotoError, match="0 photos share their name"):
        find(faces.rows, alone, most=5)


def test_copies_of_a_photo_do_no_harm() -> None:
    faces = made_up(people=200, seed=8)
    single = [int(np.flatnonzero(faces.person == name)[0]) for name in named(faces, 1)[:2]]
    faces.rows[single[1]] = faces.rows[single[0]]
    (item,) = find(faces.rows, faces.person, most=0)
    assert item.kind == "same-person"
    assert {item.photo, item.other} == set(single)
    same = np.repeat(faces.rows[:1], len(faces), axis=0)
    assert all(np.isfinite(f.expected) for f in find(same, faces.person, most=3))
