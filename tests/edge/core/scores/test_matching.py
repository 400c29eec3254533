"""The index against a brute force in exact arithmetic, over any history of changes."""

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.edge.core.scores.matching import BLOCK, Gallery
from tests.support.fakes import unit

Rows = dict[str, np.ndarray]


def exact(a: np.ndarray, b: np.ndarray) -> float:
    """The dot product of two float32 vectors, rounded once: products of them are exact."""
    return math.fsum((a.astype(np.float64) * b.astype(np.float64)).tolist())


def brute_force(rows: Rows, probe: np.ndarray, top: int) -> list[tuple[str, float]]:
    best = {name: max(exact(t, probe) for t in templates) for name, templates in rows.items()}
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))[:top]


def assert_same(gallery: Gallery, rows: Rows, probe: np.ndarray, top: int) -> None:
    got = gallery.identify(probe, top)
    expected = brute_force(rows, probe, top)
    assert [c.score for c in got] == pytest.approx([s for _, s in expected], abs=1e-12)
    # Two different scores closer than one rounding may stand either way; equal rows may not.
    scores = [s for _, s in expected]
    if all(a - b > 1e-12 for a, b in itertools.pairwise(scores)):
        assert [c.subject for c in got] == [name for name, _ in expected]


@given(
    seed=st.integers(0, 2**32 - 1),
    dim=st.sampled_from([2, 7, 32, 128, 192]),
    subjects=st.integers(1, 60),
    spread=st.sampled_from([1e-4, 0.02, 1.0]),
    top=st.integers(1, 5),
)
@settings(max_examples=250, deadline=None)
def test_any_history_answers_as_a_brute_force(
    seed: int, dim: int, subjects: int, spread: float, top: int
) -> None:
    """Look-alikes a rounding step apart, outliers, several templates, replaced and removed."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal(dim)
    gallery = Gallery(dim)
    rows: Rows = {}
    for _ in range(2 * subjects):
        name = f"s{rng.integers(subjects)}"
        if rng.random() < 0.25:
            assert gallery.remove(name) == (rows.pop(name, None) is not None)
            continue
        templates = unit(centre + spread * rng.standard_normal((rng.integers(1, 4), dim)))
        if rng.random() < 0.1:
            templates = unit(np.eye(dim)[rng.integers(dim, size=1)])
        gallery.put(name, templates)
        rows[name] = templates
    assert len(gallery) == sum(len(t) for t in rows.values())
    assert gallery.subjects == sorted(rows)
    for _ in range(3):
        probe = unit(centre + spread * rng.standard_normal(dim))
        assert_same(gallery, rows, probe, top)


@pytest.mark.parametrize("count", [BLOCK - 1, 8 * BLOCK, 8 * BLOCK + 17])
def test_many_rows_take_the_block_path_and_answer_the_same(count: int) -> None:
    rng = np.random.default_rng(count)
    vectors = unit(rng.standard_normal((count, 64)))
    vectors[-1] = vectors[3]
    gallery = Gallery(64)
    gallery.put_many((f"s{i}", vectors[i : i + 1]) for i in range(count))
    whole = vectors.astype(np.float64)
    for i in range(40):
        near = unit(vectors[rng.integers(count)] + 0.05 * rng.standard_normal(64))
        probe = near if i % 2 else unit(rng.standard_normal(64))
        scores = whole @ probe.astype(np.float64)
        order = np.lexsort((np.array([f"s{j}" for j in range(count)]), -scores))[:3]
        got = gallery.identify(probe, 3)
        assert [c.score for c in got] == pytest.approx(scores[order].tolist(), abs=1e-12)
    twins = gallery.identify(vectors[3], 2)
    assert [c.subject for c in twins] == sorted(["s3", f"s{count - 1}"])


def test_the_scan_alone_would_be_wrong() -> None:
    """Two templates with equal int8 codes: only the re-rank can tell them apart."""
    near = unit([[1.0, 0.0, 1e-4], [1.0, 0.0, 2e-4]])
    gallery = Gallery(3)
    gallery.put_many([("a", near[:1]), ("b", near[1:])])
    assert (gallery._codes[0] == gallery._codes[1]).all()
    probe = unit([1.0, 0.0, 1.0])
    assert [c.subject for c in gallery.identify(probe)] == ["b", "a"]


def test_the_probes_own_rounding_is_in_the_bound() -> None:
    """The codes hold both templates exactly, but rounding moves the probe from the better one
    towards the other: only the probe's part of the error bound keeps the better one."""
    rng = np.random.default_rng(0)
    step, dim, k = 1.01 / 127, 64, 12
    while True:
        probe = unit(rng.standard_normal(dim))
        unit_step = float(np.abs(probe).max()) / 127
        error = probe - unit_step * np.rint(probe / unit_step)
        sign = np.sign(error)
        if 0 < float(sign @ probe) < 0.2 * float(np.abs(error).sum()):
            break
    while True:
        base = np.rint(50 * probe + rng.standard_normal(dim) * 8)
        while base @ sign:  # both templates must be of one length
            at = rng.integers(dim)
            base[at] -= sign[at] * np.sign(base @ sign)
        pair = (np.stack([base + k * sign, base - k * sign]) * step).astype(np.float32)
        if np.abs(np.linalg.norm(pair, axis=1) - 1).max() < 9e-4:
            break
    rows = {"a": pair[:1], "b": pair[1:], "range": np.eye(dim, dtype=np.float32)[:1]}
    gallery = Gallery(dim)
    gallery.put_many(rows.items())
    assert brute_force(rows, probe, 1)[0][0] == "a"
    assert_same(gallery, rows, probe, 1)


def test_verify_looks_at_the_claimed_subject_only() -> None:
    gallery = Gallery(2)
    gallery.put("a", unit([[1.0, 0.0], [0.0, 1.0]]))
    gallery.put("b", unit([[1.0, 1.0]]))
    probe = unit([2.0, 1.0])
    found = gallery.verify(probe, "a")
    assert found is not None
    assert found.score == pytest.approx(2 / math.sqrt(5), abs=1e-6), "its best template counts"
    assert gallery.verify(probe, "nobody") is None


def test_an_empty_gallery_has_no_candidates() -> None:
    gallery = Gallery(4)
    assert gallery.identify(unit([1, 0, 0, 0])) == ()
    gallery.put("a", unit([[1, 0, 0, 0]]))
    gallery.remove("a")
    assert len(gallery) == 0
    assert gallery.identify(unit([1, 0, 0, 0])) == ()


@pytest.mark.parametrize(
    ("given_rows", "message"),
    [
        (np.zeros((1, 3), np.float32), r"expected \(n, 4\) float32, got \(1, 3\) float32"),
        (np.zeros((1, 4)), r"got \(1, 4\) float64"),
        (np.zeros((0, 4), np.float32), r"got \(0, 4\)"),
        (np.full((1, 4), 2.0, np.float32), "unit length"),
        (np.full((1, 4), np.nan, np.float32), "unit length"),
    ],
)
def test_wrong_templates_are_refused_and_change_nothing(
    given_rows: np.ndarray, message: str
) -> None:
    gallery = Gallery(4)
    gallery.put("a", unit([[1, 0, 0, 0]]))
    with pytest.raises(ValueError, match=message):
        gallery.put_many([("b", unit([[0, 1, 0, 0]])), ("a", given_rows)])
    assert gallery.subjects == ["a"]


def test_the_bounds_hold_for_every_row_also_where_the_range_grew() -> None:
    """Bounds summed in float32 are never below the exact value in float64, and hardly above."""
    rng = np.random.default_rng(11)
    gallery = Gallery(192)
    for start in range(0, 3000, 500):
        rows = unit(rng.standard_normal((500, 192)))
        gallery.put_many((f"s{start + i}", rows[i : i + 1]) for i in range(500))
    gallery.put("edge", unit(np.eye(192)[:1] + 0.01))
    gallery.put("long", (unit(rng.standard_normal((1, 192))) * np.float32(1.0015)))
    held = gallery._templates[: len(gallery)].astype(np.float64)
    codes = gallery._codes[: len(gallery)].astype(np.float64)
    assert gallery._range == 1.01
    residual = np.linalg.norm(held - gallery._range / 127 * codes, axis=1).max()
    assert residual <= gallery._residual < residual * 1.001
    norm = np.linalg.norm(held, axis=1).max()
    assert norm <= gallery._norm < norm * 1.001


def test_a_removed_template_does_not_stay_in_memory() -> None:
    rows = unit(np.random.default_rng(2).standard_normal((100, 16)))
    gallery = Gallery(16)
    gallery.put_many((f"s{i}", rows[i : i + 1]) for i in range(100))
    for i in (99, 3, 50):
        gallery.remove(f"s{i}")
    gallery.put("s7", rows[99:])
    gallery.remove("s7")
    assert not gallery._templates[len(gallery) :].any()
    assert not gallery._codes[len(gallery) :].any()
    assert not any((gallery._templates == rows[i]).all(1).any() for i in (3, 7, 50, 99))


def test_a_search_leaves_the_interpreter_as_it_was() -> None:
    """A library that drops references to None ends a daemon after some hours."""
    gallery = Gallery(16)
    rows = unit(np.random.default_rng(5).normal(size=(40, 16)))
    gallery.put_many([(f"s{at}", row[None]) for at, row in enumerate(rows)])
    before = sys.getrefcount(None)
    for _ in range(2000):
        gallery.identify(rows[3])
        gallery.verify(rows[3], "s3")
    assert abs(sys.getrefcount(None) - before) < 500
