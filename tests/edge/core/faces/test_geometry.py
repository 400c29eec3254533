"""The similarity against Umeyama's own solution, and crops at the border."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ostiary.edge.core.faces import geometry
from tests.support.fakes import face_at


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama 1991 by singular value decomposition: the oracle."""
    sm, tm = source.mean(0), target.mean(0)
    s, t = source - sm, target - tm
    u, d, vt = np.linalg.svd(t.T @ s / len(s))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / s.var(0).sum()
    return np.hstack([scale * rotation, (tm - scale * rotation @ sm)[:, None]])


@given(st.integers(0, 10_000))
@settings(max_examples=200, deadline=None)
def test_similarity_is_umeyamas(seed: int) -> None:
    points = np.random.default_rng(seed).normal(100, 30, (5, 2)).astype(np.float32)
    got = geometry.similarity(points, geometry.ARCFACE_112)
    assert np.allclose(got, umeyama(points.astype(float), geometry.ARCFACE_112), atol=1e-3)


def test_similarity_undoes_a_known_turn() -> None:
    angle, scale, shift = 0.3, 1.7, np.array([20.0, -5.0])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = geometry.ARCFACE_112
    target = (source @ (scale * turn).T + shift).astype(np.float32)
    got = geometry.similarity(source, target)
    assert np.allclose(got[:, :2], scale * turn, atol=1e-5)
    assert np.allclose(got[:, 2], shift, atol=1e-3)


def test_align_puts_the_points_on_the_template() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    face = face_at(80, 60, 150)
    eye = face.points_px[0].astype(int)
    image[eye[1] - 2 : eye[1] + 3, eye[0] - 2 : eye[0] + 3] = 255
    aligned = geometry.align(image, face.points_px, (112, 112))
    y, x = np.unravel_index(int(aligned[..., 0].argmax()), (112, 112))
    where = geometry.similarity(face.points_px, geometry.ARCFACE_112) @ [*face.points_px[0], 1]
    assert abs(x - where[0]) <= 2
    assert abs(y - where[1]) <= 2


@pytest.mark.parametrize(
    "box", [(-20, -30, 40, 30), (80, 90, 140, 130), (-10, -10, 120, 130), (200, 200, 210, 220)]
)
def test_crop_pads_and_does_not_shift(box: tuple[int, int, int, int]) -> None:
    image = np.random.default_rng(0).integers(1, 255, (100, 100, 3)).astype(np.uint8)
    got = geometry.crop(image, np.array(box, np.float32))
    x1, y1, x2, y2 = box
    assert got.shape == (y2 - y1, x2 - x1, 3)
    for y in range(y1, y2, 7):
        for x in range(x1, x2, 7):
            inside = 0 <= y < 100 and 0 <= x < 100
            expected = image[y, x] if inside else np.zeros(3)
            assert (got[y - y1, x - x1] == expected).all()


def test_iou_of_known_boxes() -> None:
    a = np.array([0, 0, 10, 10], np.float32)
    assert geometry.iou(a, a) == 1.0
    assert geometry.iou(a, np.array([5, 0, 15, 10], np.float32)) == pytest.approx(1 / 3)
    assert geometry.iou(a, np.array([10, 10, 20, 20], np.float32)) == 0.0


def test_the_centred_face_is_more_prominent_than_a_larger_one_at_the_edge() -> None:
    centred = np.array([270, 190, 370, 290], np.float32)
    aside = np.array([0, 0, 130, 130], np.float32)
    size = (480, 640)
    assert geometry.prominence(centred, size) > geometry.prominence(aside, size)
    larger = centred + np.array([-30, -30, 30, 30], np.float32)
    assert geometry.prominence(larger, size) > geometry.prominence(centred, size)


@pytest.mark.parametrize("seed", range(60))
def test_surroundings_lie_inside_and_around_the_face(seed: int) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(60, 200, 2)
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, rows * 0], axis=-1).astype(np.uint8)
    corner = rng.uniform(-20, [width - 5, height - 5])
    box = np.concatenate([corner, corner + rng.uniform(5, 120, 2)]).astype(np.float32)
    got = geometry.surroundings(image, box, 2.7)
    (top, left), (bottom, right) = got[0, 0, :2], got[-1, -1, :2]
    assert (got == image[top : bottom + 1, left : right + 1]).all(), "it is a piece of the image"
    side = box[2:] - box[:2]
    factor = min(2.7, (width - 1) / side[0], (height - 1) / side[1])
    assert got.shape[1] == pytest.approx(side[0] * factor, abs=2)
    assert got.shape[0] == pytest.approx(side[1] * factor, abs=2)


def test_surroundings_away_from_the_border_are_the_enlarged_box() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[180:220, 180:220] = 255
    got = geometry.surroundings(image, np.array([180, 180, 220, 220], np.float32), 2.5)
    assert got.shape[:2] == (100, 100)
    assert (got[30:70, 30:70] == 255).all()
    assert got.sum() == 40 * 40 * 3 * 255


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], True),
        ([(0, 0, 40, 40)], True),
        ([(0, 0, 40, 40), (560, 0, 640, 40)], True),
        # As large as the first, far from the middle; then near the middle, more than half as large.
        ([(0, 0, 180, 200)], False),
        ([(430, 150, 600, 320)], False),
        ([(0, 0, 40, 40), (0, 0, 180, 200)], False),
    ],
)
def test_a_face_dominates_by_its_area_and_its_place(
    others: list[tuple[int, int, int, int]], expected: bool
) -> None:
    boxes = [np.array(box, np.float32) for box in [(220, 140, 420, 340), *others]]
    assert geometry.dominates(boxes, (480, 640)) is expected
