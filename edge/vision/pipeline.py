"""From a frame to faces, and from a face to a probe."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ostiary.edge.core.faces import detection, exposure, geometry, preprocess, quality
from ostiary.edge.core.faces.detection import Found
from ostiary.edge.core.faces.quality import Quality
from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.core.scores.curves import Curves
from ostiary.edge.core.scores.verifier import Verifier, probability
from ostiary.edge.core.types import Face, Floats, Image
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.bundle import FLOAT, INT8, Bundle
from ostiary.edge.runtime.det import Comparison
from ostiary.edge.runtime.manifest import PAD

MIN_FACE_SCORE = 0.65
MAX_BOX_IOU = 0.4
MAX_FACES = 4
"""The most faces that are looked at in one frame: a crowd must not stall the door."""


class Pipeline:
    """A bundle's models, as the steps from a frame to a probe."""

    def __init__(self, bundle: Bundle, proven: golden.ProvenRunners) -> None:
        self.bundle = bundle
        self.backend = proven.backend
        self.refused = proven.refused
        self._runners = proven.runners
        self._models = bundle.manifest.models
        self._upright = None if bundle.upright is None else bundle.upright.head()
        self._covered = None if bundle.covered is None else bundle.covered.head()
        self._prober = INT8 if INT8 in proven.runners else FLOAT
        self.precision = "int8" if self._prober == INT8 else proven.runners[FLOAT].precision
        self._crop_size = bundle.model("encoder").size_px

    def find(self, image: Image) -> list[Face]:
        """The faces of a BGR image with their five points, the most prominent first."""
        return self.faces(image, self.boxes(image))

    def faces(self, image: Image, boxes: Sequence[Found]) -> list[Face]:
        """The faces of the first MAX_FACES boxes, with their five points."""
        return [self._face(image, box, score) for box, score in boxes[:MAX_FACES]]

    def boxes(self, image: Image) -> list[Found]:
        """The (box_px, score) of every face, the most prominent first."""
        out = self._run_clear("detector", image)
        scores, corners = (out[name] for name in self._models.detector.outputs)
        size = (image.shape[0], image.shape[1])
        found = detection.boxes(scores, corners, size, MIN_FACE_SCORE, MAX_BOX_IOU)
        return geometry.by_prominence(found, size)

    def _face(self, image: Image, box_px: Floats, score: float) -> Face:
        found = self.landmarks(image, box_px)
        upright = None if self._upright is None else self._upright.uprightness(found)
        return Face(box_px, detection.five_points(found, box_px), score, upright)

    def landmarks(self, image: Image, box_px: Floats) -> Floats:
        """The landmark model's output (136,) for the face in a box: x and y in 0..1 of the box."""
        around = geometry.crop(image, box_px)
        out = self._run_clear("landmarks", around, exposure.NOISY_POINTS)
        return out[self._models.landmarks.outputs[0]].reshape(-1)

    def align(self, image: Image, face: Face) -> Image:
        """The face turned upright, as a crop of the size that the encoder takes."""
        return geometry.align(image, face.points_px, self._crop_size)

    def quality(self, face: Face, aligned: Image) -> Quality:
        """The quality measures of a face and its aligned crop."""
        covered = None if self._covered is None else self._covered.coveredness(aligned)
        return quality.measure(face, aligned, covered)

    def embed(self, aligned: Image) -> Floats:
        """The unit-norm embedding (dim,) of an aligned crop by the float encoder, for templates."""
        return self._embedded(FLOAT, aligned)

    def probe(self, aligned: Image) -> Floats:
        """The embedding (dim,) of an aligned crop for a probe: by the int8 encoder if available."""
        return self._embedded(self._prober, aligned)

    def _embedded(self, encoder: str, aligned: Image) -> Floats:
        out = self._run_clear(encoder, aligned)
        return preprocess.to_embedding(out[self.bundle.model(encoder).outputs[0]])

    def curve(self) -> DetCurve:
        """The DET curve of float templates and probes of `probe`. Raises BundleError."""
        return self.bundle.curve(self._comparison)

    def curves(self, worst: bool) -> Curves:
        """The curves for tau, of the worst group if `worst`. Raises BundleError."""
        return self.bundle.det().curves_for(self._comparison, worst)

    def head(self) -> tuple[Verifier, DetCurve]:
        """The logistic head and its DET curve, over logits, for the same comparison.

        Raises BundleError if the bundle has no head, or no curve of the head for this comparison.
        """
        file = self.bundle.head()
        return file.head(), file.curve(self._comparison)

    @property
    def _comparison(self) -> Comparison:
        return "float_int8" if self._prober == INT8 else "float_float"

    def live(self, image: Image, face: Face) -> float:
        """The probability, 0 to 1, that the face is bona fide and not a picture of one, by the
        model `pad` alone."""
        return probability(self.log_odds(PAD, image, face))

    def passive(
        self, image: Image, face: Face, names: Collection[str] | None = None
    ) -> dict[str, float]:
        """The log-odds that the face is bona fide, by the passive models of these names; by default
        by each passive model of the bundle."""
        chosen = self._models.passive if names is None else names
        return {name: self.log_odds(name, image, face) for name in chosen}

    def log_odds(self, name: str, image: Image, face: Face) -> float:
        """ln(p / (1 - p)) of the probability p of a live face, by one passive model."""
        model = self._models.passive[name]
        around = geometry.surroundings(image, face.box_px, model.box_factor)
        out = self._run(name, preprocess.averaged(around, model.spec))
        return preprocess.log_odds(out[model.outputs[0]].reshape(-1), model.live)

    def close(self) -> None:
        """Free the memory of the models."""
        for runner in self._runners.values():
            runner.close()

    def _run_clear(
        self, name: str, image: Image, noisy: float = exposure.NOISY
    ) -> dict[str, Floats]:
        """Run a model on what it would see in ordinary light; an ordinary image is left as it is.
        The image is judged in the model's own size, in which fine noise is gone."""
        shown = preprocess.resized(image, self.bundle.model(name).spec)
        return self._run(name, exposure.cleared(shown, noisy))

    def _run(self, name: str, image: Image) -> dict[str, Floats]:
        model = self.bundle.model(name)
        return self._runners[name].infer({model.input: preprocess.to_tensor(image, model.spec)})


def open_pipeline(
    bundle: Bundle,
    backend: str = "auto",
    threads: int = 1,
    cache: Path | None = None,
    precision: str = "int8",
    engines: Path | None = None,
) -> Pipeline:
    """A pipeline on the first backend that reproduces the golden vectors. Raises BackendError.

    `engines` is the folder of TensorRT engines. With `precision` "float", probes are embedded in
    float even if the bundle has an int8 encoder.
    """
    chosen = bundle if precision == "int8" else bundle.in_float()
    return Pipeline(chosen, golden.prove(chosen, backend, threads, cache, engines))
