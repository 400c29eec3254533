"""Measured figures beside their promised limits, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value; at most `target` if one was promised. `good` is for yes or no."""

    part: str
    what: str
    value: float
    unit: str
    target: float | None = None
    good: bool | None = None

    @property
    def verdict(self) -> str:
        if self.good is False or (self.target is not None and self.value > self.target):
            return "missed"
        return "" if self.target is None and self.good is None else "met"

    def as_json(self) -> dict[str, object]:
        said = {"part": self.part, "what": self.what, "value": self.value, "unit": self.unit}
        return {**said, "target": self.target, "verdict": self.verdict}


def shown(rows: Iterable[Figure]) -> Table:
    """The figures as a table for people."""
    table = Table(title="The roster over MQTT")
    for heading in ("part", "what", "measured", "target", "verdict"):
        table.add_column(heading, justify="right" if heading in ("measured", "target") else "left")
    last = ""
    for row in rows:
        style = {"missed": "red", "met": "green"}.get(row.verdict, "")
        target = "" if row.target is None else f"<= {_number(row.target)} {row.unit}"
        measured = f"{_number(row.value)} {row.unit}"
        if row.good is not None and not row.unit:
            measured, target = ("yes" if row.good else "no"), "yes"
        part = row.part if row.part != last else ""
        table.add_row(part, row.what, measured, target, f"[{style}]{row.verdict}" if style else "")
        last = row.part
    return table


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"
