"""The report shows the verdict and every number it is given, and needs no other file."""

import re
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from ostiary.edge.core.scores.calibration import DetCurve
from ostiary.edge.runtime.det import DetFile
from ostiary.export.records.results import LayerCost, LayerCosts
from ostiary.export.report import charts
from ostiary.export.report.bundle_report import det_points, histograms, render
from tests.support import made_verifier
from tests.support.export import measured
from tests.support.export.measured import FLOAT, GRID, SPEEDS, gate, layers, manifest, table

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def det() -> DetFile:
    return measured.curves()


@pytest.fixture(scope="module")
def page(det: DetFile) -> str:
    return render(manifest(), gate(), det, layers(), table("only <12> people"), SPEEDS)


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", page, re.S)]


def plots(page: str) -> list[ElementTree.Element]:
    return [svg for svg in drawings(page) if svg.get("class") == "plot"]


def plot(page: str, title: str) -> ElementTree.Element:
    return next(svg for svg in plots(page) if svg.get("aria-label") == title)


def scale(svg: ElementTree.Element, first: str, last: str) -> tuple[float, float]:
    """Where the x ticks with these texts stand."""
    ticks = {
        t.text: float(t.get("x", ""))
        for t in svg.iter(f"{SVG}text")
        if "tick-x" in t.get("class", "")
    }
    return ticks[first], ticks[last]


def words(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.split("</style>")[1]))


def test_nothing_outside_of_the_page_is_needed(page: str) -> None:
    bare = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    for outside in ("http:", "https:", "src=", "<script", "@import", "url(", "<link", 'href="/'):
        assert outside not in bare


def test_what_is_given_is_shown_as_text(page: str) -> None:
    assert "&lt;script&gt;alert(" in page
    for text in ("a note of &lt;b&gt;mine", "my &lt;faces&gt;", "costs &lt;too&gt; much"):
        assert text in page
    assert "conv &amp; &lt;one&gt;" in page


def test_every_drawing_is_well_formed_and_says_what_it_is(page: str) -> None:
    assert len(drawings(page)) > 10
    assert [svg.get("aria-label") for svg in plots(page)] == [
        "DET curves",
        "Genuine and impostor scores",
        "What each layer costs",
    ]


def test_the_same_input_gives_the_same_bytes(page: str, det: DetFile) -> None:
    again = render(manifest(), gate(), det, layers(), table("only <12> people"), SPEEDS)
    assert again.encode() == page.encode()


def test_the_verdict(page: str, det: DetFile) -> None:
    assert '<p class="word">PASSED</p>' in page
    assert "onnxruntime, openvino" in words(page)
    sentences = ["float_int8 loses 0.0031 of TAR", "the weights of <conv> are off"]
    failed = render(manifest(), gate(passed=False, failures=sentences), det, None, None, [])
    assert '<p class="word">FAILED</p>' in failed
    assert "PASSED" not in failed
    assert "Proven on none" in words(failed)
    assert f"<li>{sentences[0]}</li>" in failed
    assert "<li>the weights of &lt;conv&gt; are off</li>" in failed


def test_what_is_missing_is_said_to_be_not_measured() -> None:
    empty = render(manifest(), None, None, None, None, [])
    assert '<p class="word">NOT MEASURED</p>' in empty
    assert "PASSED" not in empty
    assert empty.count("<b>Not measured.</b>") == 7
    assert "ostiary-export verify BUNDLE --faces DIR" in empty
    assert "ostiary-export sensitivity BUNDLE --faces DIR" in empty
    assert drawings(empty) == []
    assert "has no int8 encoder" in words(render(manifest(False), None, None, None, None, []))
    alone = render(manifest(), gate(agreement=None, compared=[], worst=[]), None, None, None, [])
    assert "Agreement between backends: not measured." in words(alone)


@pytest.mark.parametrize("field", ["encoder_id", "int8_sha256"])
def test_a_verdict_on_other_files_is_none(field: str, det: DetFile) -> None:
    other = gate(**{field: "0f" * 32})
    stray = render(manifest(), other, det, layers(), table(), SPEEDS)
    assert '<p class="word">NOT MEASURED</p>' in stray
    assert "left out here: the gate&#39;s verdict." in words(stray)


def test_a_curve_a_table_and_costs_of_another_encoder_are_left_out(det: DetFile) -> None:
    curve, costs, ranges = (
        msgspec.structs.replace(det, encoder_id="0f" * 32),
        msgspec.structs.replace(layers(), encoder_id="0f" * 32),
        msgspec.structs.replace(table(), encoder_id="0f" * 32),
    )
    stray = render(manifest(), gate(), curve, costs, ranges, SPEEDS)
    assert '<p class="word">PASSED</p>' in stray
    assert plots(stray) == []
    assert "the DET curves, the layers&#39; costs, the calibration table" in stray


def test_det_points_are_those_of_a_loop(det: DetFile) -> None:
    curve, counts = det.curve("int8_int8"), det.int8_int8
    assert counts is not None
    naive: list[tuple[float, float]] = []
    for i in range(len(GRID)):
        fmr = counts.impostor_at_or_above[i] / counts.impostors
        fnmr = counts.genuine_below[i] / counts.genuines
        if fmr > 0 and fnmr > 0 and (not naive or naive[-1] != (fmr, fnmr)):
            naive.append((fmr, fnmr))
    assert det_points(curve) == naive


def test_det_curves_lie_where_their_rates_are(page: str, det: DetFile) -> None:
    svg = plot(page, "DET curves")
    left, right = scale(svg, "1e-6", "1e-1")
    lines = list(svg.iter(f"{SVG}polyline"))
    assert [line.get("class") for line in lines] == ["line s0", "line s1", "line s2"]
    assert len({line.get("stroke-dasharray") for line in lines}) == 3
    shown = [p for p in det_points(det.curve()) if 1e-6 <= p[0] <= 0.1]
    drawn = [pair.split(",") for pair in lines[0].get("points", "").split()]
    assert len(drawn) == len(shown)
    for (x, _), (fmr, _) in zip(drawn, shown, strict=True):
        assert float(x) == pytest.approx(left + (np.log10(fmr) + 6) / 5 * (right - left), abs=0.02)
    shade = next(svg.iter(f"{SVG}rect"))
    least = left + (np.log10(30 / 200_000) + 6) / 5 * (right - left)
    assert float(shade.get("width", "")) == pytest.approx(least - left, abs=0.02)
    assert "fewer than 30 errors" in words(page)


def test_histograms_have_an_area_of_one(det: DetFile) -> None:
    for histogram in histograms(det.curve()):
        assert np.diff(histogram.edges) == pytest.approx(0.01)
        area = (np.diff(histogram.edges) * histogram.density).sum()
        assert area + histogram.outside == pytest.approx(1)
        assert area > 0.98
    genuine, impostor = histograms(det.curve())
    below, above = det.float_float.genuine_below, det.float_float.impostor_at_or_above
    assert genuine.density[80] * 0.01 * 2000 == pytest.approx(below[405] - below[400])
    assert impostor.density[20] * 0.01 * 200_000 == pytest.approx(above[100] - above[105])


def test_a_grid_that_does_not_divide_into_bins_loses_no_score() -> None:
    grid = np.linspace(0, 1, 14)
    above, below = np.arange(13, -1, -1), np.arange(14)
    for histogram in histograms(DetCurve(grid, above, below, 13, 13, ""), width=0.3):
        assert (np.diff(histogram.edges) * histogram.density).sum() == pytest.approx(1)


def test_tau_stands_where_the_curve_says(page: str, det: DetFile) -> None:
    counts = det.float_int8
    assert counts is not None
    taus = []
    for k in (1, 100, 1000, 10_000):
        fmr = 1 - (1 - 0.01) ** (1 / k)
        allowed = [n / counts.impostors <= fmr for n in counts.impostor_at_or_above]
        taus.append(GRID[allowed.index(True)])
    svg = plot(page, "Genuine and impostor scores")
    left, right = scale(svg, "0", "1")
    marks = [m for m in svg.iter(f"{SVG}line") if m.get("class", "").startswith("mark")]
    found = [(float(m.get("x1", "")) - left) / (right - left) for m in marks]
    assert found == pytest.approx(taus, abs=1e-4)
    assert [m.get("class") for m in marks] == ["mark", "mark weak", "mark weak", "mark weak"]
    for k, tau in zip((1, 100, 1000, 10_000), taus, strict=True):
        assert f" {k} {tau:.4f} " in words(page)
    assert "✗ no: fewer than 30 errors" in page


def test_scores_fall_back_to_float(det: DetFile) -> None:
    bare = msgspec.structs.replace(det, int8_sha256=None, int8_int8=None, float_int8=None)
    text = words(render(manifest(), None, bare, None, None, []))
    assert "Measured with float templates, float probes." in text


@pytest.mark.parametrize(
    "row",
    [
        "1e-2 0.00029 none only reported -0.00031 to 0.00089",
        "1e-3 -0.00033 0.002 ✓ within -0.00166 to 0.00096",
        "1e-4 0.00022 0.001 ✓ within, interval reaches past it -0.00145 to 0.00169",
        "int8 and float 0.9984 0.9971 0.9959 0.9835 median 0.99",
        "both int8 0.9987 0.9978 0.9972 0.9958 least 0.99",
        "Calibration photos left out 257",
        "1e-4 0.5311 0.9311 0.9000 to 0.9400",
        "100 0.5300 0.0091 0.0042 to 0.0176 0.0345 0.0200 to 0.0700 0.0797",
        "genuine 2181 2182 0.6169 0.5634 -0.0535",
        "impostor 7 2884 0.1000 0.3000 0.2000",
        "Conv, depthwise 6.5e-3 0.0123 float: it is the worst",
        "float on openvino 6.90 ms 1.00\u00d7 5.20 MB 1.00\u00d7",
        "int8 on openvino 2.30 ms 3.00\u00d7 1.30 MB 0.25\u00d7",
        "Photos 256 Method mse Tensors 5 Smallest coverage 0.99000",
        "Calibrated although the photos failed a check: only &lt;12&gt; people",
        "rgb as declared 5.123 bgr 4.012",
        "my faces: 3,096 photos of 1,111 people",
        "float templates, int8 probes 2,000 200,000 1.5e-4",
    ],
)
def test_the_tables_show_what_was_measured(page: str, row: str) -> None:
    assert row in words(page)


def test_every_file_has_its_hash(page: str) -> None:
    for name, digest in manifest().files.items():
        assert name in page
        assert f'title="{digest}">{digest[:12]}</code>' in page


def test_without_a_float_row_there_is_no_ratio() -> None:
    text = words(render(manifest(), None, None, None, None, SPEEDS[1:]))
    assert "int8 on openvino 2.30 ms - 1.30 MB -" in text


def test_layers_are_barred_in_the_order_of_the_graph(page: str) -> None:
    svg = plot(page, "What each layer costs")
    groups = list(svg.iter(f"{SVG}g"))
    notes = [group.findtext(f"{SVG}title", "") for group in groups]
    assert notes[0] == "conv & <one>: 1 - cosine 2.00e-04, TAR lost 0.0011"
    bars = [group.find(f"{SVG}rect") for group in groups]
    kinds = [bar.get("class") if bar is not None else None for bar in bars]
    assert kinds == ["bar plain", "bar depthwise kept", None, None]
    assert "no. 1, in float" in words(page)


def test_many_layers_are_parted_for_printing() -> None:
    costs = [LayerCost(f"c{i}", "Conv", False, 10.0**-i, 0.0) for i in range(53)]
    drawn = plots(render(manifest(), None, None, LayerCosts(FLOAT, 9, 1e-3, costs, {}), None, []))
    assert [len(list(svg.iter(f"{SVG}g"))) for svg in drawn] == [27, 26]


def test_axes_name_round_values() -> None:
    assert charts.linear("", -0.2, 1.0).ticks == pytest.approx([-0.2, 0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axis = charts.logarithmic("", [0.004, 0.03, 0.0])
    assert (axis.low, axis.high) == (0.001, 0.1)
    assert axis.ticks == pytest.approx([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1])
    assert charts.logarithmic("", [1e-20, 1.0]).low == pytest.approx(1e-6)
    assert charts.logarithmic("", [0.01, 0.01]).ticks == pytest.approx([1e-3, 2e-3, 5e-3, 1e-2])
    assert [axis.name(value) for value in (0.002, 0.1)] == ["0.002", "0.1"]
    assert charts.power(2.5e-4) == "2.5e-4"


def test_a_logistic_head_is_told_with_what_it_was_worth() -> None:
    head = made_verifier.made(FLOAT, 512, int8="b2" * 32)
    both = [made_verifier.judged(plain_fnmr=0.0321, false=false) for false in (-4.0, -2.0)]
    head = msgspec.structs.replace(head, float_float=both[0], float_int8=both[1])
    page = render(manifest(), None, None, None, None, [], head)
    told = words(page)
    assert "made up &lt;faces&gt;" in page
    assert "300 photos of 60 held out people" in told
    for name in ("float templates, float probes", "float templates, int8 probes"):
        fnmr = head.fnmr("float_int8" if "int8" in name else "float_float")
        rates = f"0.99000 0.99000 -0.00100 to 0.00100 {fnmr:.4f} 0.0321 0.0100"
        assert f"{name} {rates}" in told
    assert "despite" not in told
    bad = msgspec.structs.replace(head, insisted="its AUC <is> below")
    assert "despite a failed check: its AUC &lt;is&gt; below" in render(
        manifest(), None, None, None, None, [], bad
    )
    assert "Logistic head" not in render(manifest(), None, None, None, None, [])
