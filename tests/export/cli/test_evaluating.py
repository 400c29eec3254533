"""`ostiary-export evaluate`: what the options ask for is what is searched and shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.errors import ConfigError
from ostiary.edge.runtime import bundle as bundles
from ostiary.export.__main__ import app
from ostiary.export.cli import evaluating
from ostiary.export.faces import open_set
from ostiary.export.faces.groups import Groups
from ostiary.export.faces.kinds import Kind, People
from ostiary.export.faces.open_set import Search
from ostiary.export.records.results import OpenSetRow
from tests.support.export.made_up import crops
from tests.support.export.made_up_people import people

FACES = crops(people=300, images=2)
ROWS = people(300, 2, 0, noise=0.1).templates
# Every second person is much like the others of the same group.
GROUP_A = FACES.person % 2 == 0
ROWS[GROUP_A] = people(300, 2, 1, noise=0.1, alike=0.8).templates[GROUP_A]
Run = Callable[..., Result]


@pytest.fixture
def asked() -> list[Search]:
    return []


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Search]) -> Run:
    """The command on made-up faces and embeddings, without a bundle."""

    def search(given: People, test: Search, groups: Groups | None = None) -> list[OpenSetRow]:
        asked.append(test)
        nothing = Rate(0.5, 0.4, 0.6)
        return [
            OpenSetRow(
                k, 0.5, nothing, nothing, 0.1, test.fpir, test.kind.photos, test.kind.visit,
                test.tau_of, test.gallery_of,
            )
            for k in test.sizes
        ]  # fmt: skip

    loaded = SimpleNamespace(path=tmp_path, encoder_id="a1" * 32, det=None)
    monkeypatch.setattr(bundles, "read", lambda path: loaded)
    monkeypatch.setattr(evaluating, "strangers", lambda *a: FACES)
    monkeypatch.setattr(evaluating, "_embedded", lambda *a: People(ROWS, ROWS, FACES.person))
    monkeypatch.setattr(open_set, "open_set", search)
    (tmp_path / "b").mkdir()
    (tmp_path / "faces").mkdir()

    def invoke(*options: str) -> Result:
        given = ["evaluate", str(tmp_path / "b"), "--faces", str(tmp_path / "faces"), *options]
        return CliRunner().invoke(app, given)

    return invoke


def test_without_options_one_photo_at_the_usual_sizes_is_searched(
    evaluate: Run, asked: list[Search]
) -> None:
    done = evaluate("--json")
    assert done.exit_code == 0, done.output
    assert asked == [Search((100, 300), 0.01, 20, 0, Kind(1))]


def test_every_option_reaches_the_searches(evaluate: Run, asked: list[Search]) -> None:
    words = "--k 50 --k 70 --fpir .1 --fpir .003 --photos 1 --photos 3 --visits --draws 2 --resplit"
    done = evaluate(*words.split(), "--seed", "7", "--json")
    assert done.exit_code == 0, done.output
    assert asked == [
        Search((50, 70), fpir, 2, 7, Kind(photos, visit=True), resplit=True)
        for photos in (1, 3)
        for fpir in (0.1, 0.003)
    ]
    rows = json.loads(done.stdout)["open_set"]
    assert [(r["k"], r["photos"], r["wanted"]) for r in rows[:3]] == [
        (50, 1, 0.1), (70, 1, 0.1), (50, 1, 0.003),
    ]  # fmt: skip
    assert all(row["visit"] for row in rows)


def grouped(tmp_path: Path) -> Path:
    lines = [f"{name},{'ab'[at % 2]}" for at, name in enumerate(FACES.names)]
    path = tmp_path / "groups.csv"
    path.write_text("\n".join(["person,group", *lines]))
    return path


def test_groups_are_searched_within_with_everybodys_tau_and_the_worst_groups(
    evaluate: Run, asked: list[Search], tmp_path: Path
) -> None:
    path = str(grouped(tmp_path))
    done = evaluate("--groups", path, "--k", "20", "--json")
    assert done.exit_code == 0, done.output
    assert [(one.gallery_of, one.tau_of) for one in asked] == [
        ("", ""), ("a", ""), ("a", "a"), ("b", ""), ("b", "a"),
    ]  # fmt: skip
    told = json.loads(done.stdout)
    assert [row["group"] for row in told["groups"]] == ["", "a", "b"]
    assert told["groups"][1]["fmr"]["value"] > 3 * told["groups"][2]["fmr"]["value"]
    shown = evaluate("--groups", path, "--k", "20").stdout
    assert "gallery of" in shown
    assert "everybody's tau" in shown


def test_tau_of_the_bundle_comes_from_the_curve_of_the_kind_and_of_the_group(
    evaluate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {1: object(), 2: object()}
    used: list[Any] = []
    wanted: list[tuple[str, bool]] = []

    def curves_for(comparison: str, worst: bool) -> Any:
        wanted.append((comparison, worst))
        return SimpleNamespace(single=made, visit={})

    def with_curve(given: People, test: Search, curve: Any, groups: Any) -> list[OpenSetRow]:
        used.append(curve)
        return []

    loaded = SimpleNamespace(
        path=tmp_path, encoder_id="a1" * 32, det=lambda: SimpleNamespace(curves_for=curves_for)
    )
    monkeypatch.setattr(bundles, "read", lambda path: loaded)
    monkeypatch.setattr(open_set, "with_curve", with_curve)
    path = str(grouped(tmp_path))
    done = evaluate("--from-bundle", "--photos", "1", "--photos", "2", "--groups", path, "--json")
    assert done.exit_code == 0, done.output
    assert used == [made[1], made[2]] + 4 * [made[1]] + 4 * [made[2]]
    assert wanted == 2 * [("float_float", False)] + 4 * [
        ("float_float", False), ("float_float", True),
    ]  # fmt: skip
    missing = evaluate("--from-bundle", "--photos", "3")
    assert "no curve for templates of 3" in str(missing.exception)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--estimated"], "no groups to describe"),
        (["--group-labels", "by hand"], "no groups to describe"),
        (["--groups", "none.csv"], "cannot read none.csv"),
    ],
)
def test_groups_that_cannot_be_read_are_refused(
    evaluate: Run, options: list[str], said: str
) -> None:
    refused = evaluate(*options).exception
    assert isinstance(refused, ConfigError)
    assert said in str(refused)


def test_templates_of_four_photos_are_no_choice(evaluate: Run) -> None:
    done = evaluate("--photos", "4")
    assert done.exit_code == 2
    assert "--photos" in done.output
