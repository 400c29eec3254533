"""The real models on a real photo, and enrollment from it."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest

from ostiary.edge.adapters.photos import read_photo
from ostiary.edge.core.faces import detection
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.types import Image
from ostiary.edge.errors import EnrollmentRefused
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.edge.runtime.det import Comparison
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline
from scripts import trial
from tests.support import made_verifier
from tests.support.places import DATA


def embedding(pipeline: Pipeline, image: Image) -> np.ndarray:
    face = pipeline.find(image)[0]
    return pipeline.embed(pipeline.align(image, face))


def test_the_portraits_one_face_is_found_where_it_is(pipeline: Pipeline, portrait: Image) -> None:
    (face,) = pipeline.find(portrait)
    assert face.score > 0.9
    right, left, nose, mouth_right, mouth_left = face.points_px
    assert right[0] < nose[0] < left[0]
    assert max(right[1], left[1]) < nose[1] < min(mouth_right[1], mouth_left[1])
    x1, y1, x2, y2 = face.box_px
    assert x1 < nose[0] < x2
    assert y1 < nose[1] < y2


def test_the_embedding_survives_light_scale_and_turn(pipeline: Pipeline, portrait: Image) -> None:
    reference = embedding(pipeline, portrait)
    assert np.linalg.norm(reference) == pytest.approx(1, abs=1e-5)
    for changed in (
        trial.worn(portrait),
        np.asarray(cv2.resize(portrait, None, fx=0.6, fy=0.6), np.uint8),
        np.ascontiguousarray(portrait[:, ::-1]),
    ):
        assert float(embedding(pipeline, changed) @ reference) > 0.7


@pytest.mark.parametrize(
    ("models", "comparison"),
    [((FLOAT, INT8), "float_int8"), ((FLOAT,), "float_float")],
)
def test_curve_and_head_are_those_of_the_probes_made_here(
    bundle: Bundle, models: tuple[str, ...], comparison: Comparison
) -> None:
    hashed = bundle.manifest.files[bundle.model(INT8).file]
    file = made_verifier.made(bundle.encoder_id, bundle.dim, int8=hashed)
    runner = SimpleNamespace(precision="float")
    proven = SimpleNamespace(backend="none", refused=(), runners=dict.fromkeys(models, runner))
    pipeline = Pipeline(replace(bundle, verifier=file), cast(Any, proven))
    head, judged = pipeline.head()
    assert head.weights.tolist() == file.weights
    wanted = getattr(file, comparison).counts
    assert judged.impostor_at_or_above.tolist() == wanted.impostor_at_or_above
    assert file.float_int8 is not None
    assert file.float_float.counts != file.float_int8.counts
    counted = getattr(bundle.measured, comparison)
    assert pipeline.curve().impostor_at_or_above.tolist() == counted.impostor_at_or_above


def test_a_picture_without_a_face_has_none(pipeline: Pipeline) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    assert pipeline.find(noise) == []
    assert pipeline.find(np.zeros((480, 640, 3), np.uint8)) == []


def test_a_face_at_the_border_gives_finite_points(pipeline: Pipeline, portrait: Image) -> None:
    face = pipeline.find(portrait)[0]
    x1, y1, x2, _ = (int(v) for v in face.box_px)
    for cut in (portrait[y1 + 10 :, :], portrait[:, (x1 + x2) // 2 - 30 :]):
        for found in pipeline.find(np.ascontiguousarray(cut)):
            assert np.isfinite(found.points_px).all()
            assert np.isfinite(pipeline.live(cut, found))


def test_faces_come_by_prominence_and_not_too_many(
    pipeline: Pipeline, portrait: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    centred = np.array([270, 190, 370, 290], np.float32)
    crowd = [(centred + 3 * np.array([i, i, -i, -i], np.float32), 0.9) for i in range(8, -1, -1)]
    monkeypatch.setattr(detection, "boxes", lambda *_: crowd)
    found = pipeline.boxes(portrait)
    assert (found[0][0] == centred).all()
    assert len(pipeline.find(portrait)) == 4


@pytest.fixture(scope="module")
def two_people() -> dict[str, Image]:
    folder = trial.sample_photos()
    names = ("obama", "obama2", "obama3", "biden")
    return {name: read_photo(folder / f"{name}.jpg") for name in names}


def test_one_person_agrees_and_two_do_not(pipeline: Pipeline, two_people: dict[str, Image]) -> None:
    found = {name: embedding(pipeline, image) for name, image in two_people.items()}
    # 0.82 when this was written; an alignment point ten pixels off falls below this limit.
    assert float(found["obama"] @ found["obama2"]) > 0.78
    assert float(found["obama"] @ found["biden"]) < 0.3


def test_enrollment_takes_one_photo_or_several(
    pipeline: Pipeline, two_people: dict[str, Image]
) -> None:
    one = enroll(pipeline, "o", [("obama", two_people["obama"])], Limits())
    assert one.encoder == pipeline.bundle.encoder_id
    assert np.allclose(one.embedding, embedding(pipeline, two_people["obama"]), atol=1e-6)
    both = [(name, two_people[name]) for name in ("obama", "obama2")]
    several = enroll(pipeline, "o", both, Limits())
    assert (one.photos, several.photos) == (1, 2)
    assert np.linalg.norm(several.embedding) == pytest.approx(1, abs=1e-5)
    third = embedding(pipeline, two_people["obama3"])
    assert float(several.embedding @ third) > float(one.embedding @ third) - 0.05


@pytest.mark.parametrize("reason", ["no-face", "two-faces", "low-quality", "disagreement"])
def test_enrollment_refuses_by_name(
    pipeline: Pipeline, two_people: dict[str, Image], portrait: Image, reason: str
) -> None:
    photos: list[tuple[str, Image]] = {
        "no-face": [("wall", np.full((480, 640, 3), 90, np.uint8))],
        "two-faces": [("couple", np.hstack([portrait, portrait]))],
        "low-quality": [("soft", np.asarray(cv2.GaussianBlur(portrait, (0, 0), 6), np.uint8))],
        "disagreement": [("obama", two_people["obama"]), ("biden", two_people["biden"])],
    }[reason]
    with pytest.raises(EnrollmentRefused) as caught:
        enroll(pipeline, "x", photos, Limits())
    assert caught.value.reason == reason
    assert photos[0][0] in str(caught.value)


def with_bystander(image: Image, share: float) -> Image:
    """The picture with itself, smaller, in its lower right corner."""
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    made = image.copy()
    made[-small.shape[0] :, -small.shape[1] :] = small
    return made


def test_of_several_faces_the_one_that_dominates_is_enrolled_and_that_is_said(
    pipeline: Pipeline, portrait: Image
) -> None:
    photo, notes = with_bystander(portrait, 0.35), list[str]()
    assert len(pipeline.find(photo)) == 2
    made = enroll(pipeline, "x", [("group", photo)], Limits(), notes.append)
    assert notes == ["group: of 2 faces the large one in the middle was taken"]
    assert float(made.embedding @ embedding(pipeline, portrait)) > 0.95


def test_where_no_face_dominates_the_advice_leaves_a_margin(
    pipeline: Pipeline, portrait: Image
) -> None:
    # The larger face is not twice as large as the other.
    photo = np.hstack([portrait, cv2.resize(portrait, None, fx=0.8, fy=1)])
    with pytest.raises(EnrollmentRefused, match="none clearly dominates") as caught:
        enroll(pipeline, "x", [("couple", np.asarray(photo, np.uint8))], Limits())
    assert "a margin of a third of the face" in caught.value.hint


def test_the_live_portrait_is_no_attack_also_at_the_border(
    pipeline: Pipeline, portrait: Image
) -> None:
    face = pipeline.find(portrait)[0]
    assert pipeline.live(portrait, face) > 0.9
    y1 = int(face.box_px[1])
    cut = np.ascontiguousarray(portrait[max(y1 - 15, 0) :])
    assert pipeline.live(cut, pipeline.find(cut)[0]) > 0.5


@pytest.mark.data
def test_one_live_face_and_two_attacks_are_told_apart(pipeline: Pipeline) -> None:
    """Three pictures: enough to see a swapped class or a wrong crop, not to claim a rate."""
    if not (DATA / "pad").is_dir():
        pytest.skip(f"no presentation attack pictures in {DATA}")
    live = {}
    for name in ("image_T1", "image_F1", "image_F2"):
        image = read_photo(DATA / "pad" / f"{name}.jpg")
        live[name] = pipeline.live(image, pipeline.find(image)[0])
    assert live["image_T1"] > 0.8
    assert max(live["image_F1"], live["image_F2"]) < 0.05
