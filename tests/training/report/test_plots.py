"""Each plot's lines and dots lie where its numbers are."""

import re
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from ostiary.edge.runtime.det import Counts
from ostiary.export.report import charts
from ostiary.export.report.charts import Chart
from ostiary.training.judge.evaluation import Plane
from ostiary.training.report import plots
from ostiary.training.run.log import EpochLine, StepLine
from tests.support.training import judged

SVG = "{http://www.w3.org/2000/svg}"
Places = list[tuple[float, float]]


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(chart.svgs[0])


def places(text: str) -> Places:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+)[, ](-?[\d.]+)", text)]


def lines(svg: ElementTree.Element) -> list[Places]:
    return [places(line.get("points", "")) for line in svg.iter(f"{SVG}polyline")]


def dots(svg: ElementTree.Element) -> dict[str, Places]:
    """Where the dots of each note are."""
    return {
        path.findtext(f"{SVG}title", ""): [
            (float(x), float(y)) for x, y in re.findall(r"M([\d.]+) ([\d.]+)", path.get("d", ""))
        ]
        for path in svg.iter(f"{SVG}path")
    }


def ticks(svg: ElementTree.Element, side: str) -> dict[float, float]:
    """Where an axis puts its named values."""
    texts = [t for t in svg.iter(f"{SVG}text") if t.get("class") == f"tick-{side}"]
    # A y tick's words stand a little below their line.
    moved = 4 if side == "y" else 0
    return {float((t.text or "").replace(",", "")): float(t.get(side, "")) - moved for t in texts}


def at(svg: ElementTree.Element, side: str, value: float, log: bool = False) -> float:
    """Where a value should be, from the first and the last tick."""
    known = ticks(svg, side)
    low, high = min(known), max(known)
    place = np.log if log else float
    share = (place(value) - place(low)) / (place(high) - place(low))
    return float(known[low] + share * (known[high] - known[low]))


def test_det_curves_lie_where_their_rates_are() -> None:
    untrained, best = judged.untrained(), judged.best()
    chart = plots.det([untrained, best])
    svg = drawn(chart)
    assert svg.get("aria-label") == (
        f"DET curves: untrained with an EER of {untrained.eer.value:.4f},"
        f" best with an EER of {best.eer.value:.4f}"
    )
    counts = untrained.counts
    points = [
        (a / counts.impostors, b / counts.genuines)
        for a, b in zip(counts.impostor_at_or_above, counts.genuine_below, strict=True)
        if a > 0 and b > 0
    ]
    expected = [(at(svg, "x", fmr, True), at(svg, "y", fnmr, True)) for fmr, fnmr in points]
    assert np.array(lines(svg)[0]) == pytest.approx(np.array(expected), abs=0.02)
    guide = next(line for line in svg.iter(f"{SVG}line") if line.get("class") == "mark weak")
    low = max(min(ticks(svg, "x")), min(ticks(svg, "y")))
    found = [float(guide.get(key, "")) for key in ("x1", "y1", "x2", "y2")]
    ends = [at(svg, "x", low, True), at(svg, "y", low, True)]
    assert found == pytest.approx([*ends, at(svg, "x", 1, True), at(svg, "y", 1, True)], abs=0.02)
    words = [text for _, text in chart.legend]
    assert words[:2] == ["untrained", "best" if len(lines(svg)) == 2 else "best: no errors"]


def test_what_rests_on_few_errors_is_shaded() -> None:
    one = judged.untrained()
    svg = drawn(plots.det([one]))
    boxes = [r for r in svg.iter(f"{SVG}rect") if r.get("class") == "shade"]
    right = float(boxes[0].get("x", "")) + float(boxes[0].get("width", ""))
    assert right == pytest.approx(at(svg, "x", 30 / one.counts.impostors, True), abs=0.02)
    top = float(boxes[1].get("y", ""))
    assert top == pytest.approx(at(svg, "y", 30 / one.counts.genuines, True), abs=0.02)


def test_an_encoder_without_errors_is_said_to_have_none() -> None:
    counts = Counts(10, 5, [10, 4, 0], [0, 0, 5])
    assert plots.det_points(counts) == []
    perfect = plots.det([msgspec.structs.replace(judged.best(), counts=counts)])
    assert perfect.legend[0][1] == "best: no errors"
    assert lines(drawn(perfect)) == []


def test_each_person_has_dots_of_their_own_at_one_scale() -> None:
    plane = judged.best().plane
    svg = drawn(plots.embeddings("Embeddings, best", plane))
    found = dots(svg)
    assert list(found) == [f"no. {one}" for one in np.unique(judged.PERSON)]
    for one in set(plane.person):
        expected = [
            (at(svg, "x", x), at(svg, "y", y))
            for (x, y), person in zip(plane.points, plane.person, strict=True)
            if person == one
        ]
        assert np.array(found[f"no. {one}"]) == pytest.approx(np.array(expected), abs=0.06)
    across = at(svg, "x", 0.1) - at(svg, "x", 0)
    assert across == pytest.approx(at(svg, "y", 0) - at(svg, "y", 0.1), rel=1e-3)


def test_the_kinds_of_dots_all_look_unlike() -> None:
    samples = [ElementTree.fromstring(charts.dot_key(kind)) for kind in range(charts.DOTS)]
    paths = [next(sample.iter(f"{SVG}path")) for sample in samples]
    assert len({(path.get("class"), path.get("d")) for path in paths}) == charts.DOTS == 12


def test_a_collapsed_map_is_drawn() -> None:
    svg = drawn(plots.embeddings("Embeddings", Plane([(0.0, 0.0)] * 3, [1, 1, 2], (0.0, 0.0))))
    assert [len(some) for some in dots(svg).values()] == [2, 1]


def test_averages_are_those_of_a_loop_and_keep_every_step() -> None:
    values = [(float(i), float(i * i % 17)) for i in range(1, 1001)]
    means, every = plots.averaged(values)
    assert every == 4
    naive = []
    for start in range(0, 1000, 4):
        run = values[start : start + 4]
        naive.append((sum(x for x, _ in run) / len(run), sum(y for _, y in run) / len(run)))
    assert np.array(means) == pytest.approx(np.array(naive))
    assert plots.averaged(values[:7]) == (values[:7], 1)


def test_loss_and_active_share_over_the_steps() -> None:
    steps = judged.steps(6)
    chart, every = plots.loss(steps)
    svg = drawn(chart)
    expected = [(at(svg, "x", s.step), at(svg, "y", s.loss)) for s in steps]
    assert np.array(lines(svg)[0]) == pytest.approx(np.array(expected), abs=0.02)
    assert every == 1
    assert svg.get("aria-label") == "Loss over the steps: from 1 to 0.1667"
    told = plots.active(steps)
    assert told is not None
    svg = drawn(told[0])
    expected = [(at(svg, "x", s.step), at(svg, "y", s.active or 0)) for s in steps]
    assert np.array(lines(svg)[0]) == pytest.approx(np.array(expected), abs=0.02)


def test_a_loss_without_triplets_has_no_active_share() -> None:
    assert plots.active([StepLine(1, at, 0.5, None, 1.0, 0.1) for at in (1, 2)]) is None


def test_one_step_a_loss_of_zero_and_one_epoch_are_drawn() -> None:
    svg = drawn(plots.loss([StepLine(1, 1, 0.0, 0.0, 1.0, 0.1)])[0])
    assert [len(some) for some in dots(svg).values()] == [1]
    svg = drawn(plots.eer([EpochLine(0, 0.0, None, True)]))
    assert [len(some) for some in dots(svg).values()] == [1]


def test_the_best_epoch_is_marked_and_epochs_are_whole() -> None:
    epochs = judged.epochs()
    svg = drawn(plots.eer(epochs))
    expected = [(at(svg, "x", e.epoch), at(svg, "y", e.eer)) for e in epochs]
    assert np.array(lines(svg)[0]) == pytest.approx(np.array(expected), abs=0.02)
    mark = next(line for line in svg.iter(f"{SVG}line") if line.get("class") == "mark")
    assert float(mark.get("x1", "")) == pytest.approx(at(svg, "x", 2), abs=0.02)
    assert "best: epoch 2" in [t.text for t in svg.iter(f"{SVG}text")]
    assert sorted(ticks(svg, "x")) == [0, 1, 2, 3]
    last = [EpochLine(at, 0.1, None, False) for at in range(21)]
    assert all(float(value).is_integer() for value in ticks(drawn(plots.eer(last)), "x"))


def test_tar_is_drawn_where_it_is_told() -> None:
    assert plots.tar(judged.epochs()) is None
    epochs = [EpochLine(at, 0.1, None, False, 0.9 - at / 100) for at in range(4)]
    guard = plots.tar(epochs)
    assert guard is not None
    assert [text for _, text in guard.legend] == ["TAR on unchanged photos, which must not fall"]
    svg = drawn(guard)
    expected = [(at(svg, "x", e.epoch), at(svg, "y", e.guard or 0)) for e in epochs]
    assert np.array(lines(svg)[0]) == pytest.approx(np.array(expected), abs=0.05)


def test_a_long_run_is_counted_in_plain_numbers() -> None:
    steps = [StepLine(1, 100_000, 0.5, None, 1.0, 0.1)]
    words = [t.text for t in drawn(plots.loss(steps)[0]).iter(f"{SVG}text")]
    assert "100,000" in words
    assert charts.short(9999) == "9999"
