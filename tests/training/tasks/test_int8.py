"""The float encoder teaches its int8 self: nearer than plain rounding, on people set apart."""

from __future__ import annotations

import json
import shutil
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import typer

from ostiary.edge.errors import BundleError, PhotoError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime.bundle import MANIFEST, sha256
from ostiary.edge.runtime.manifest import Manifest
from ostiary.export.faces.crops import Crops
from ostiary.export.graphs import run as running
from ostiary.export.int8 import bias_correction, equalise, quantize
from ostiary.export.plan import recipe
from ostiary.export.records import calibration_table as tables
from ostiary.export.records.calibration_table import Table
from ostiary.training.cli import int8
from ostiary.training.data.photos import Faces, LeftOut
from ostiary.training.judge.embed import eer, embed
from ostiary.training.run import loop
from ostiary.training.run.settings import Optimiser
from ostiary.training.tasks import int8 as distil
from ostiary.training.tasks.int8 import PreparedTeaching, Teaching
from tests.support import tiny_bundle
from tests.support.places import ostiary_export, refused
from tests.support.training.int8_parts import SPEC, by_file, folder, people, table, tiny

torch.set_num_threads(1)
QUIET = lambda *a: None  # noqa: E731
ALONE, SEVERAL = people(300, seed=1), people(310, seed=2, each=2)
HOW = Teaching(optimiser=Optimiser(rate=0.02, weight_decay=0.0, warm_up=0.1, epochs=1))


def start() -> Table:
    """Plainly rounded, so that there is something to learn."""
    plain = msgspec.structs.replace(table(), biases={}, exponents={})
    return distil.begin(tiny(), plain, ALONE, SPEC, QUIET)


def lessons(how: Teaching = HOW) -> PreparedTeaching:
    return distil.prepare(tiny(), start(), ALONE, how, SPEC)


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Table:
    course, run = lessons(), tmp_path_factory.mktemp("run")
    outcome = loop.fit(course.task, HOW, run, course.made_with)
    return distil.end(course, outcome, ALONE, "made up")


def cosine(made: Table) -> float:
    """The mean of int8 to float, on people who neither taught nor were calibrated on."""
    rounded = by_file(quantize.quantize(tiny(), made), SEVERAL)
    return float((rounded * by_file(tiny(), SEVERAL)).sum(1).mean())


def test_int8_comes_nearer_to_float_on_people_it_never_saw(taught: Table) -> None:
    plain, learned = (1 - cosine(made) for made in (start(), taught))
    assert learned < 0.9 * plain


def test_the_table_says_how_and_on_whom(taught: Table) -> None:
    found = taught.lesson
    assert found is not None
    assert (found.people, found.images, found.epochs) == (300, 300, 1)
    assert found.cosine[0] < found.cosine[1] < 1
    assert found.command == "ostiary-train int8 --epochs 1 --rate 0.02 --seed 0"
    assert "300 photos of 300 people from made up" in str(found)
    assert taught.encoder_id == table().encoder_id
    assert set(taught.photos) == set(ALONE.photos)
    assert taught.ranges == table().ranges


def test_the_same_seed_teaches_the_same(taught: Table, tmp_path: Path) -> None:
    course = lessons()
    outcome = loop.fit(course.task, HOW, tmp_path, course.made_with)
    assert distil.end(course, outcome, ALONE, "made up") == taught


def test_the_loss_is_the_plain_loop_s() -> None:
    course, rows = lessons(), np.array([3, 0, 7])
    step = course.task.objective(rows, (0, 1, 0))
    shown = distil.views(ALONE.images[np.arange(300) % distil.CHOOSING > 0], HOW.seed)[rows]
    made, wanted = embed(course.pupil, shown), by_file(tiny(), _only(shown))
    total = 0.0
    for a, b in zip(made, wanted, strict=True):
        total += 1 - sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    assert float(step.value.detach()) == pytest.approx(total / 3, abs=2e-6)
    assert step.active is None


def _only(images: np.ndarray) -> Crops:
    return Crops(images, np.arange(len(images)), ["x"] * len(images), [], {}, {})


def test_who_judges_an_epoch_is_in_no_batch() -> None:
    course = lessons()
    assert isinstance(course.task.judge, distil.Judge)
    judged = {image.tobytes() for image in course.task.judge.images}
    objective = course.task.objective
    assert isinstance(objective, distil.Int8Objective)
    assert len(judged) == 38
    assert not judged & {image.tobytes() for image in objective.photos.images}
    assert len(objective.photos.images) == 3 * (300 - 38)


def pupils(crops: Crops, *barred: str) -> Crops:
    """Who teaches, where some may not judge."""
    return distil.pupils(Faces(crops, LeftOut(), frozenset(barred)))


def test_who_has_one_photo_teaches_and_the_others_judge() -> None:
    chosen = pupils(folder(SEVERAL, ALONE))
    assert chosen.photos == ALONE.photos


def test_who_may_not_judge_teaches_before_anybody_who_may() -> None:
    crops = folder(SEVERAL, ALONE)
    assert pupils(crops, "p3", "p9").photos == [
        *SEVERAL.photos[6:8], *SEVERAL.photos[18:20], *ALONE.photos,
    ]  # fmt: skip
    strangers, learned = people(150, seed=5, each=2), people(200, seed=6, each=4)
    chosen = pupils(folder(strangers, learned), *(f"p{i}" for i in range(150, 350)))
    assert chosen.photos == learned.photos


def test_where_few_have_one_photo_those_with_the_fewest_teach() -> None:
    crops = folder(
        people(20, seed=4, each=3), people(200, seed=5, each=2), people(300, seed=6, each=4)
    )
    chosen = pupils(crops)
    assert len(chosen) == distil.LEAST_PHOTOS
    assert set(np.bincount(chosen.person)) == {0, 2}


@pytest.mark.parametrize(
    "crops",
    [people(120, seed=8), people(300, seed=9), people(60, 9, each=4), people(5, 9, each=300)],
)
def test_too_few_people_are_refused(crops: Crops) -> None:
    with pytest.raises(PhotoError, match="to train on are too few"):
        pupils(crops)


def test_of_a_few_people_two_judge_and_their_own_photos_are_no_impostors() -> None:
    """However few they are: of one alone no epoch's error rate could be told."""
    chosen = pupils(people(8, seed=4, each=100))
    course = distil.prepare(tiny(), start(), chosen, HOW, SPEC)
    judge = course.task.judge
    assert isinstance(judge, distil.Judge)
    assert (chosen.people, len(np.unique(judge.person))) == (3, 2)
    verdict, rows = judge(), embed(course.pupil, judge.images)
    genuine, impostor = list[float](), list[float]()
    for i, template in enumerate(by_file(tiny(), _only(judge.images[:, :, ::-1]))):
        for j, probe in enumerate(rows):
            if i == j:
                genuine.append(float(template @ probe))
            elif judge.person[i] != judge.person[j]:
                impostor.append(float(template @ probe))
    assert verdict.eer == pytest.approx(eer(np.array(genuine), np.array(impostor)), abs=1e-3)
    others = judge.mirrored @ rows.T
    assert verdict.eer < eer(np.array(genuine), others[~np.eye(len(rows), dtype=bool)]) - 0.01


def test_layers_in_float_come_into_int8_with_biases_of_their_own() -> None:
    first = next(node for node in tiny().graph.node if node.op_type == "Conv")
    before = msgspec.structs.replace(table(), floats={first.name: "says a test"}, biases={})
    found = distil.begin(tiny(), before, ALONE, SPEC, QUIET)
    assert found.floats == {}
    assert set(found.biases) == set(table().biases)
    images = next(
        running.batches(ALONE.images[: bias_correction.IMAGES], SPEC, bias_correction.IMAGES)
    )
    plain = quantize.quantize(tiny(), msgspec.structs.replace(found, biases={}))
    # Nothing but its own input and weight is rounded before the first layer's output.
    rounded, wanted = (
        running.Peek(model, [first.output[0]])(images)[first.output[0]].mean((0, 2, 3))
        for model in (plain, equalise.apply(tiny(), found.exponents))
    )
    assert found.biases[first.name] == pytest.approx(wanted - rounded, abs=1e-6)
    assert max(map(abs, found.biases[first.name])) > 5e-5


def test_learning_nothing_is_said(tmp_path: Path) -> None:
    wild = Teaching(optimiser=Optimiser(rate=60.0, weight_decay=0.0, warm_up=0.0, epochs=1))
    course = lessons(wild)
    outcome = loop.fit(course.task, wild, tmp_path, course.made_with)
    with pytest.raises(BundleError, match="no epoch came nearer"):
        distil.end(course, outcome, ALONE, "made up")


def test_a_build_takes_what_a_run_recorded(taught: Table, tmp_path: Path) -> None:
    (tmp_path / "mobilefacenet-192.table.json").write_bytes(tables.to_text(taught))
    plan = recipe.load("mobilefacenet-192", recorded=tmp_path)
    assert plan.recorded.table == taught
    assert plan.recorded.gate is None


def test_a_bundle_without_int8_is_refused(tmp_path: Path) -> None:
    bundle = tiny_bundle.make(tmp_path / "bundle")
    said = refused(
        "int8", "--bundle", bundle, "--faces", tmp_path, "--out", tmp_path / "run",
        program="training",
    )  # fmt: skip
    assert "has no calibration table (build the bundle with an int8 encoder)" in said
    assert not (tmp_path / "run").exists()


def untaught(bundle_dir: Path, bundle: Path) -> Path:
    """A copy in whose table no bias is corrected: so there is something to learn, whatever the
    processor."""
    shutil.copytree(bundle_dir, bundle)
    plain = msgspec.structs.replace(tables.read(bundle / tables.FILE), floats={}, biases={})
    (bundle / tables.FILE).write_bytes(tables.to_text(plain))
    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes(), type=Manifest)
    files = manifest.files | {tables.FILE: sha256(tables.to_text(plain))}
    changed = msgspec.structs.replace(manifest, files=files)
    (bundle / MANIFEST).write_bytes(msgspec.json.encode(changed))
    return bundle


@pytest.mark.long
@pytest.mark.data
def test_from_a_bundle_to_a_bundle_that_has_learned(
    bundle_dir: Path,
    faces_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(distil, "LEAST_PHOTOS", 130)
    bundle, faces = untaught(bundle_dir, tmp_path / "plain"), tmp_path / "faces"
    photos = {person: sorted(person.iterdir()) for person in sorted(faces_data.iterdir())}
    alone = [person for person, held in photos.items() if len(held) == 1][:130]
    several = [person for person, held in photos.items() if len(held) > 2][:84]
    # Three photos each are 31,374 impostor pairs; a verdict takes 30,000.
    for photo in chain.from_iterable(photos[person][:3] for person in (*alone, *several)):
        (faces / photo.parent.name).mkdir(parents=True, exist_ok=True)
        (faces / photo.parent.name / photo.name).symlink_to(photo)
    run, code = tmp_path / "run", 0
    try:
        int8.teach(bundle, faces, run, epochs=1, json=True)
    except typer.Exit as ended:
        code = ended.exit_code
    told = json.loads(capsys.readouterr().out)
    assert told["lesson"]["people"] == 130
    assert told["after"]["people"] == 84
    assert told["after"]["cosine"]["median"] > told["before"]["cosine"]["median"]
    assert code == (0 if told["after"]["passed"] else 1)
    # Whatever its gate says: with so few faces it says little.
    built = ostiary_export(
        "build", "mobilefacenet-192", "--recorded", run, "--out", tmp_path / "out"
    )
    assert built.returncode in (0, 1), built.stderr
    made = bundles.read(tmp_path / "out")
    assert made.encoder_id == bundles.read(bundle_dir).encoder_id
    assert made.manifest.files["encoder.int8.onnx"] == told["after"]["int8_sha256"]
    assert "130 photos of 130 people" in made.manifest.notes[-1]
