"""Charts as inline SVG: lines, areas, marks, dots and bars, coloured by the page that shows them.

Series differ by dash pattern or shape as well as by colour, and the page's style sheet sets the
colours, so that a chart can be read in dark mode, in print and by colour-blind people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 88, 24, 12, 58
DASHES = ("", "9 5", "2 4")
"""Dash patterns by series. The third is drawn over the others and must not hide them."""
COLOURS = 6
SHAPES = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "m-3.6-3.6h7.2v7.2h-7.2z",
    "m0-4.8l4.6 8h-9.2z",
    "m-4.6-3.2h9.2l-4.6 8z",
)
"""Dots as SVG paths around their centre; with COLOURS they make DOTS different kinds."""
DOTS = math.lcm(COLOURS, len(SHAPES))
ROW = 18
NAME, TAG, BARS_TOP = 204, 98, 46
LETTERS = 26
Place = tuple[float, float]
Points = Sequence[Place]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis: its label, its range, and the values to label."""

    label: str
    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, value: float) -> float:
        """A value's position along the axis: 0 at `low`, 1 at `high`."""
        if self.log:
            low, high, value = math.log(self.low), math.log(self.high), math.log(value)
            return (value - low) / (high - low)
        return (value - self.low) / (self.high - self.low)

    def name(self, value: float) -> str:
        """A tick's label: with a power of ten if all ticks are whole decades."""
        decades = self.log and self.ticks[1] > 5 * self.ticks[0]
        return power(value) if decades else short(value)

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high and (value > 0 or not self.log)


@dataclass(frozen=True, slots=True)
class Chart:
    """One or more SVG texts to show one below the other, and the legend: (SVG sample, words)."""

    svgs: list[str]
    legend: list[tuple[str, str]]


def logarithmic(label: str, values: Iterable[float], widest: int = 6, room: int = 3) -> Axis:
    """An axis of whole decades, at most `widest`, around the values above 0.

    An axis of at most `room` decades also labels 2 and 5 in each.
    """
    positive = [value for value in values if value > 0] or [0.01, 0.1]
    last = math.ceil(math.log10(max(positive)))
    first = min(max(math.floor(math.log10(min(positive))), last - widest), last - 1)
    steps = (1, 2, 5) if last - first <= room else (1,)
    ticks = [float(f"{step}e{power}") for power in range(first, last) for step in steps]
    return Axis(label, 10.0**first, 10.0**last, (*ticks, 10.0**last), log=True)


def linear(label: str, low: float, high: float, most: int = 8) -> Axis:
    """An axis from low to high with ticks at round values, in at most `most` steps."""
    raw = (high - low) / most
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return Axis(label, low, high, tuple(step * at for at in range(first, last + 1)))


def power(value: float) -> str:
    """A number with its power of ten: 1e-3 and not 1e-03."""
    digits, exponent = f"{value:.1e}".split("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def short(value: float) -> str:
    """A number in few characters."""
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    return power(value) if 0 < abs(value) < 1e-3 else f"{round(value, 10):.4g}"


class Plot:
    """A chart with an x and a y axis, drawn from the back to the front."""

    def __init__(self, title: str, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y
        self._svg = _canvas(title, HEIGHT)
        for value in x.ticks:
            at = self._across(value)
            _line(self._svg, "grid", (at, TOP), (at, HEIGHT - BOTTOM))
            _text(self._svg, x.name(value), at, HEIGHT - BOTTOM + 20, "middle", "tick-x")
        for value in y.ticks:
            at = self._up(value)
            _line(self._svg, "grid", (LEFT, at), (WIDTH - RIGHT, at))
            _text(self._svg, y.name(value), LEFT - 8, at + 4, "end", "tick-y")
        middle = (HEIGHT - BOTTOM + TOP) / 2
        _text(self._svg, x.label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, "middle", "axis")
        label = _text(self._svg, y.label, 0, 0, "middle", "axis")
        label.set("transform", f"translate(18 {middle:g}) rotate(-90)")

    def _across(self, value: float) -> float:
        return LEFT + self._x.at(value) * (WIDTH - LEFT - RIGHT)

    def _up(self, value: float) -> float:
        return HEIGHT - BOTTOM - self._y.at(value) * (HEIGHT - TOP - BOTTOM)

    def shade(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        """Shade a region in which rates are unreliable, clipped to the axes."""
        x0, x1 = (min(max(v, self._x.low), self._x.high) for v in x)
        y0, y1 = (min(max(v, self._y.low), self._y.high) for v in y)
        if x1 > x0 and y1 > y0:
            box = (self._across(x0), self._up(y1), self._across(x1), self._up(y0))
            _rect(self._svg, "shade", box)

    def line(self, points: Points, series: int) -> None:
        """Draw a series as a line through its points within the axes."""
        shown = [(x, y) for x, y in points if self._x.holds(x) and self._y.holds(y)]
        if shown:
            at = " ".join(f"{self._across(x):.2f},{self._up(y):.2f}" for x, y in shown)
            line = SubElement(self._svg, "polyline", {"class": f"line s{series}", "points": at})
            _dash(line, series)

    def area(self, edges: Sequence[float], heights: Sequence[float], series: int) -> None:
        """A histogram: heights[i] stands between edges[i] and edges[i + 1]."""
        base = self._up(self._y.low)
        steps = [(self._across(edges[0]), base)]
        for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
            top = self._up(min(height, self._y.high))
            steps += [(self._across(left), top), (self._across(right), top)]
        steps.append((self._across(edges[-1]), base))
        at = " ".join(f"{x:.2f},{y:.2f}" for x, y in steps)
        shape = SubElement(self._svg, "polygon", {"class": f"area s{series}", "points": at})
        _dash(shape, series)

    def mark(self, value: float, label: str, row: int, weak: bool = False) -> None:
        """A vertical line with a label on top; `row` counts the labels' rows from the top."""
        at = self._across(min(max(value, self._x.low), self._x.high))
        top = TOP + 4 + 20 * row
        _line(self._svg, "mark weak" if weak else "mark", (at, top), (at, HEIGHT - BOTTOM))
        side, anchor = (5, "start") if self._x.at(value) < 0.8 else (-5, "end")
        _text(self._svg, label, at + side, top + 12, anchor, "name")

    def guide(self, start: Place, end: Place) -> None:
        """A thin reference line; both ends must lie within the axes."""
        places = [(self._across(x), self._up(y)) for x, y in (start, end)]
        _line(self._svg, "mark weak", places[0], places[1])

    def dots(self, points: Points, kind: int, note: str) -> None:
        """Draw points as one of DOTS kinds of dots; `note` is their tooltip."""
        places = [(self._across(x), self._up(y)) for x, y in points]
        SubElement(_dots(self._svg, kind, places), "title").text = _clean(note)

    def svg(self) -> str:
        box = (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM)
        _rect(self._svg, "frame", box)
        return tostring(self._svg, encoding="unicode")


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar; `kind` chooses its look, `note` is its tooltip, `tag` is the text at its end."""

    name: str
    value: float
    kind: str
    note: str
    tag: str = ""


def bars(title: str, axis: Axis, rows: Sequence[Bar]) -> str:
    """Horizontal bars one below the other; a row without a positive value shows only its name."""
    height = BARS_TOP + ROW * len(rows) + 6
    svg = _canvas(title, height)
    span = WIDTH - NAME - TAG
    _text(svg, axis.label, NAME + span / 2, 14, "middle", "axis")
    for value in axis.ticks:
        at = NAME + axis.at(value) * span
        _line(svg, "grid", (at, BARS_TOP - 4), (at, height - 4))
        _text(svg, axis.name(value), at, BARS_TOP - 10, "middle", "tick-x")
    for place, row in enumerate(rows):
        top = BARS_TOP + ROW * place
        group = SubElement(svg, "g")
        SubElement(group, "title").text = _clean(f"{row.name}: {row.note}")
        shown = row.name if len(row.name) <= LETTERS else "…" + row.name[1 - LETTERS :]
        _text(group, shown, NAME - 8, top + 13, "end", "code")
        end = NAME + span * (min(max(axis.at(row.value), 0.0), 1.0) if row.value > 0 else 0.0)
        if end > NAME:
            _rect(group, f"bar {row.kind}", (NAME, top + 3, end, top + ROW - 3))
        if row.tag:
            _text(group, row.tag, end + 5, top + 13, "start", "tag")
    _line(svg, "frame", (NAME, BARS_TOP - 4), (NAME, height - 4))
    return tostring(svg, encoding="unicode")


def key(kind: str, series: int | None = None) -> str:
    """The legend's sample of a "line", a "mark", an "area", a "shade" or a "bar"."""
    svg = _root(30, 14, "key")
    name = kind if series is None else f"{kind} s{series}"
    if kind.startswith(("line", "mark")):
        sample = _line(svg, name, (1, 7), (29, 7))
    else:
        sample = _rect(svg, name, (1, 2, 29, 12))
    _dash(sample, series or 0)
    return tostring(svg, encoding="unicode")


def dot_key(kind: int) -> str:
    """The legend's sample of a kind of dots."""
    svg = _root(30, 14, "key")
    _dots(svg, kind, [(15, 7)])
    return tostring(svg, encoding="unicode")


def _canvas(title: str, height: int) -> Element:
    svg = _root(WIDTH, height, "plot")
    svg.set("role", "img")
    svg.set("aria-label", _clean(title))
    return svg


def _root(width: int, height: int, name: str) -> Element:
    box = f"0 0 {width} {height}"
    return Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "viewBox": box, "class": name})


def _line(parent: Element, name: str, start: Place, end: Place) -> Element:
    places = zip(("x1", "y1", "x2", "y2"), (*start, *end), strict=True)
    return SubElement(parent, "line", {"class": name, **{k: f"{v:.2f}" for k, v in places}})


def _rect(parent: Element, name: str, box: tuple[float, float, float, float]) -> Element:
    x0, y0, x1, y1 = box
    places = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0}
    return SubElement(parent, "rect", {"class": name, **{k: f"{v:.2f}" for k, v in places.items()}})


def _text(parent: Element, words: str, x: float, y: float, anchor: str, name: str) -> Element:
    places = {"x": f"{x:.2f}", "y": f"{y:.2f}", "text-anchor": anchor, "class": name}
    text = SubElement(parent, "text", places)
    text.text = _clean(words)
    return text


def _dots(parent: Element, kind: int, places: Points) -> Element:
    shape = SHAPES[kind % len(SHAPES)]
    drawn = "".join(f"M{x:.1f} {y:.1f}{shape}" for x, y in places)
    return SubElement(parent, "path", {"class": f"dot p{kind % COLOURS}", "d": drawn})


def _dash(element: Element, series: int) -> None:
    if DASHES[series]:
        element.set("stroke-dasharray", DASHES[series])


def _clean(words: str) -> str:
    """Text without characters that XML forbids: a node's name can have any character."""
    return "".join(c if c.isprintable() else "\ufffd" for c in words)
