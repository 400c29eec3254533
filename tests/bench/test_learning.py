"""The benchmark of learning: honest visits gain, an attacker does not get in by coming back."""

from __future__ import annotations

import numpy as np
import pytest

from bench.learning import Measured, main, measure, parser
from bench.visits import LearningDoor, SeenPhotos
from ostiary.edge.core.rules.learning import LEAST_COSINE, LearningRules
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.errors import PhotoError
from tests.support.fakes import curve, unit

DIM, PEOPLE, EACH = 64, 40, 8
CURVES = Curves({1: curve(start=0.1), 2: curve(start=0.11), 3: curve(start=0.11)}, {})
RULES = LearningRules()


def photos(least: float = 0.05, most: float = 0.18) -> SeenPhotos:
    """Made-up people: each photo is the person's own direction, and more or less noise."""
    drawn = np.random.default_rng(1)
    own = unit(drawn.normal(size=(PEOPLE, DIM)))
    person = np.repeat(np.arange(PEOPLE), EACH)
    noise = drawn.uniform(least, most, (len(person), 1))
    faces = unit(own[person] + noise * drawn.normal(size=(len(person), DIM)))
    return SeenPhotos(faces, faces, person, np.ones(len(person), bool))


def figures(*arguments: str, of: SeenPhotos | None = None) -> dict[str, Measured]:
    given = parser().parse_args(
        ["--bundle", "b", "--faces", "f", "--people", "10", "--draws", "3", *arguments]
    )
    rows = measure(of or photos(), CURVES, RULES, given)
    return {row.what: row for row in rows}


def test_people_who_learn_are_refused_less_often() -> None:
    found = figures()
    before, after = found["FNIR, enrolled templates"], found["FNIR, after learning"]
    assert after.value < before.value
    gained = found["FNIR gained"]
    assert gained.value == pytest.approx(before.value - after.value)
    assert gained.low is not None
    assert gained.low < gained.value
    assert found["of these, a stranger's or another person's"].value == 0
    assert LEAST_COSINE <= found["least cosine to the enrolled template"].value < 1
    assert found["samples learned"].value > 0


def test_nobody_gains_where_no_photo_is_good() -> None:
    made = photos()
    poor = SeenPhotos(made.templates, made.probes, made.person, np.zeros(len(made.person), bool))
    found = figures(of=poor)
    assert found["samples learned"].value == found["FNIR gained"].value == 0
    assert found["least cosine to the enrolled template"].value == pytest.approx(1)


def test_a_twin_who_comes_every_day_is_found_out() -> None:
    # A stranger who is nearly the enrolled person: the benchmark must not hide that he is learned.
    made = photos(0.02, 0.02)
    last = np.flatnonzero(made.person == 39)
    twin = unit(made.probes[last] + 3 * made.probes[0])
    faces = made.probes.copy()
    faces[last] = twin
    twins = SeenPhotos(faces, faces, made.person, made.good)
    door = LearningDoor(twins, np.array([0, EACH]), CURVES, 0.01, RULES)
    for row in last:
        assert door.visit(int(row)) == 0
    assert door.strangers_samples() == 5
    assert LEAST_COSINE <= door.cosines().min() < 0.999


def test_too_few_people_are_named() -> None:
    with pytest.raises(PhotoError, match="40 people have 4 photos, 41 are to be enrolled"):
        figures("--people", "41")


def test_a_missing_bundle_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bundle", "none", "--faces", "none"]) == 2
    assert "error: " in capsys.readouterr().err
