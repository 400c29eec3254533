"""The real models in poor light: faces are found and known, and nothing is seen in the dark."""

import numpy as np
import pytest

from ostiary.edge.core.faces import preprocess, quality
from ostiary.edge.core.faces.quality import Limits
from ostiary.edge.core.types import Face, Image
from ostiary.edge.runtime.bundle import FLOAT
from ostiary.edge.vision.enrollment import enroll
from ostiary.edge.vision.pipeline import Pipeline
from ostiary.export.light.spoilt import KINDS


def spoil(name: str, grade: float, image: Image, face: Face) -> Image:
    kind = next(one for one in KINDS if one.name == name)
    return kind.spoil(image, face, grade, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "grade"),
    [
        ("dark", 2), ("dark", 4), ("dark", 6), ("night, gain up", 6), ("back light", 4),
        ("side light", 2), ("haze", 0.06), ("flat", 0.12), ("warm light", 2), ("cold light", 4),
    ],
)  # fmt: skip
def test_a_face_in_poor_light_is_usable_and_known(
    pipeline: Pipeline, portrait: Image, name: str, grade: float
) -> None:
    (before,) = pipeline.find(portrait)
    known = pipeline.embed(pipeline.align(portrait, before))
    shown = spoil(name, grade, portrait, before)
    face = pipeline.find(shown)[0]
    aligned = pipeline.align(shown, face)
    assert quality.failures(pipeline.quality(face, aligned), Limits()) == ()
    assert float(pipeline.probe(aligned) @ known) > 0.5


@pytest.mark.parametrize(("name", "grade"), [("dark", 2), ("dark", 5), ("haze", 0.12)])
def test_a_photo_in_poor_light_enrolls(
    pipeline: Pipeline, portrait: Image, name: str, grade: float
) -> None:
    (face,) = pipeline.find(portrait)
    shown = spoil(name, grade, portrait, face)
    made = enroll(pipeline, "a", [("it", shown)], Limits())
    assert float(made.embedding @ pipeline.embed(pipeline.align(portrait, face))) > 0.5


def test_an_ordinary_face_is_embedded_bit_for_bit_as_it_is(
    pipeline: Pipeline, portrait: Image
) -> None:
    aligned = pipeline.align(portrait, pipeline.find(portrait)[0])
    model = pipeline.bundle.model(FLOAT)
    # Past everything that clears a picture.
    tensor = preprocess.to_tensor(aligned, model.spec)
    raw = pipeline._runners[FLOAT].infer({model.input: tensor})[model.outputs[0]]
    assert np.array_equal(pipeline.embed(aligned), preprocess.to_embedding(raw))


def test_in_a_dark_frame_no_face_is_seen(pipeline: Pipeline) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        dark = np.clip(rng.normal(2, 2, (480, 640, 3)), 0, 255).astype(np.uint8)
        for face in pipeline.find(dark):
            aligned = pipeline.align(dark, face)
            assert "too-dark" in quality.failures(pipeline.quality(face, aligned), Limits())
