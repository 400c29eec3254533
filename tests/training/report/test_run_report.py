"""A run's report: every figure is in it, no face, nothing outside is needed."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ostiary.edge.core.scores.metrics import Rate
from ostiary.edge.errors import ConfigError, StoreError
from ostiary.export.records.results import TarRow
from ostiary.export.report.page import template
from ostiary.training.cli import report as command
from ostiary.training.judge import evaluation
from ostiary.training.report import run_report
from tests.support.training import judged


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "orl & <one>"
    return judged.write_run(folder, [judged.untrained(), judged.best()])


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return run_report.render(run)


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("</style>")[1]))


def verdict(page: str) -> str:
    words: list[str] = re.findall(r'<p class="word">(.*?)</p>', page)
    return words[0]


def plots(page: str) -> list[str]:
    drawings = [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.S)]
    return [svg.get("aria-label", "") for svg in drawings if svg.get("class") == "plot"]


def test_nothing_outside_of_the_page_is_needed(page: str) -> None:
    bare = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    for outside in ("http:", "https:", "src=", "<script", "@import", "url(", "<link", 'href="/'):
        assert outside not in bare


def test_what_is_given_is_shown_as_text(page: str) -> None:
    assert "<title>orl &amp; &lt;one&gt;: training report</title>" in page
    for text in (
        "&lt;b&gt;mine&lt;/b&gt; &amp; {{ 7 * 7 }}",
        "my &lt;faces&gt;",
        "duplicate &lt;i",
    ):
        assert text in page


def test_every_plot_says_what_it_is(page: str) -> None:
    assert [label.split(":")[0] for label in plots(page)] == [
        "DET curves",
        "Embeddings, untrained",
        "Embeddings, best",
        "Loss over the steps",
        "Active triplets over the steps",
        "EER over the epochs",
    ]


def test_it_looks_like_the_bundles_report(page: str) -> None:
    style = (
        template("ostiary.export", "page.html.j2").render().split("<style>")[1].split("</style>")[0]
    )
    assert f"<style>{style}</style>" in page


@pytest.mark.parametrize(
    "row",
    [
        "seed 11",
        "loss.alpha 0.2",
        "loss.domains door, night",
        "training 1,234 56,789",
        "judging 10 30",
        "no face 3",
        "30 genuine and 405 impostor pairs",
        "Steps 6",
        "Epochs 3",
        "Best epoch 2",
        "Images a second, median 250.0",
    ],
)
def test_the_page_tells_what_the_files_hold(page: str, row: str) -> None:
    assert row in words(page)


def test_eer_and_tar_are_told_with_their_intervals(page: str, tmp_path: Path) -> None:
    before, after = judged.untrained(), judged.best()
    fall = evaluation.fall(before, after)
    assert fall is not None
    told = [f"{r.value:.4f} {r.low:.4f} to {r.high:.4f}" for r in (before.eer, after.eer, fall)]
    assert "people set aside " + " ".join(told) in words(page)
    row = TarRow(1e-2, 0.4321, Rate(0.5, 0.4, 0.6))
    run = judged.write_run(tmp_path, [msgspec.structs.replace(after, tar=[row])])
    assert "TAR at FMR 1e-2 0.4321 0.5000 0.4000 to 0.6000" in words(run_report.render(run))


def drawn(value: float, drawn_eers: list[float]) -> evaluation.Evaluation:
    rate = Rate(value, min(drawn_eers), max(drawn_eers))
    return msgspec.structs.replace(judged.best(), eer=rate, drawn=drawn_eers)


def test_the_word_is_what_the_interval_says(tmp_path: Path) -> None:
    high, low = drawn(0.3, [0.29, 0.3, 0.31]), drawn(0.1, [0.09, 0.1, 0.11])
    mixed = drawn(0.29, [0.2, 0.4, 0.2])
    for pair, word in (
        ([high, low], "BETTER"),
        ([low, high], "WORSE"),
        ([high, mixed], "UNPROVEN"),
        ([high], "MEASURED"),
        ([], "NOT MEASURED"),
    ):
        assert verdict(run_report.render(judged.write_run(tmp_path, pair))) == word


def test_of_few_people_nothing_is_proven_and_the_page_says_why(tmp_path: Path) -> None:
    """Of two people every draw holds both: its interval would have no width at all."""
    person = np.repeat([0, 1], 10)
    spreads = {"untrained": 2.5, "best": 0.1}
    both = [
        evaluation.measure(name, judged.embeddings(spread, 1, person), person)
        for name, spread in spreads.items()
    ]
    page = run_report.render(judged.write_run(tmp_path, both))
    assert both[0].eer.value > both[1].eer.value
    assert verdict(page) == "UNPROVEN"
    assert "An interval needs at least 10 people" in words(page)
    assert "0.0000 to 1.0000" in words(page)


def test_a_folder_whose_name_is_not_utf_8_has_its_report(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    data = msgspec.structs.replace(judged.DATA, name=name)
    run = judged.write_run(tmp_path / name, [judged.untrained(), judged.best()], data)
    assert words(run_report.write(run).read_text()).count("caf\\udce9") == 2


def test_encoders_judged_on_other_photos_are_not_compared(tmp_path: Path) -> None:
    fewer = evaluation.measure("best", judged.embeddings(0.5)[:25], judged.PERSON[:25])
    page = run_report.render(judged.write_run(tmp_path, [judged.untrained(), fewer]))
    assert verdict(page) == "MEASURED"
    assert "not measured on the same photos" in words(page)


def test_each_data_set_has_its_own_curves_and_rates(tmp_path: Path) -> None:
    sets = ["night", "night", "guard <set>", "guard <set>"]
    made = [judged.untrained, judged.best] * 2
    run = judged.write_run(tmp_path, [one(name) for one, name in zip(made, sets, strict=True)])
    page = run_report.render(run)
    assert sum(label.startswith("DET curves") for label in plots(page)) == 2
    assert "Embeddings, best guard <set>" in plots(page)
    assert page.count("<h3>guard &lt;set&gt;</h3>") == 2


def test_a_run_of_which_little_is_known_says_so(tmp_path: Path) -> None:
    judged.write_run(tmp_path, [], None)
    (tmp_path / "log.jsonl").write_bytes(b"")
    page = run_report.render(tmp_path)
    assert plots(page) == []
    assert page.count("<b>Not measured.</b>") == 7
    assert "Best epoch none" in words(page)


def test_the_worst_pairs_are_told_by_number_and_no_face_is_shown(page: str) -> None:
    assert "<img" not in page
    assert "no names and no pictures" in words(page)
    for pair in judged.best().worst:
        assert f"{pair.kind} {pair.a} {pair.b} {pair.score:.4f}" in words(page)


def test_the_same_files_give_the_same_page(run: Path, page: str) -> None:
    path = run_report.write(run)
    assert path == run / "report.html"
    assert path.read_text() == page == run_report.render(run)


def test_a_folder_that_is_no_run_or_is_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings.toml: No such file"):
        run_report.write(tmp_path)
    judged.write_run(tmp_path, [])
    (tmp_path / "log.jsonl").unlink()
    with pytest.raises(StoreError, match=r"log.jsonl: No such file"):
        run_report.write(tmp_path)
    judged.write_run(tmp_path, [])
    (tmp_path / "settings.toml").write_text("seed = = 3")
    with pytest.raises(ConfigError, match=r"settings.toml: "):
        run_report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_command_draws_it_anew(run: Path) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    (run / "report.html").unlink(missing_ok=True)
    done = CliRunner().invoke(app, ["report", str(run), "--json"])
    assert done.exit_code == 0, done.output
    told = msgspec.json.decode(done.stdout)
    assert Path(told["report"]).exists()
    (one,) = told["outcomes"]
    assert (one["outcome"], one["people"], one["images"]) == ("better", 10, 30)
    assert one["before"]["eer"]["value"] == pytest.approx(judged.untrained().eer.value)
    assert one["eer_fall"]["low"] > 0
    assert CliRunner().invoke(app, ["report", str(run)]).exit_code == 0
