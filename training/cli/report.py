"""`ostiary-train report`: writes the report of a run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import out, print_json
from ostiary.edge.core.scores.metrics import Rate
from ostiary.training.judge import evaluation, outcome
from ostiary.training.judge.outcome import DataSetOutcome
from ostiary.training.report import run_report

Run = Annotated[Path, typer.Argument(help="Folder of a training run.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    app.command("report")(draw)


def draw(run: Run, json: Json = False) -> None:
    """Write a run's report.html again from the run's files, and print its result.

    The report shows no photos: faces are personal data, and a run's folder holds none.

    Example: `ostiary-train report run`
    """
    path = run_report.write(run)
    found = outcome.outcomes(evaluation.read(run))
    if json:
        return print_json({"report": str(path), "outcomes": [_told(one) for one in found]})
    if found:
        out.print(_table(found))
    out.print(f"wrote [bold]{escape(str(path))}[/]")


def _told(one: DataSetOutcome) -> dict[str, Any]:
    return {
        "data_set": one.data_set,
        "outcome": one.word,
        "people": one.after.people,
        "images": one.after.images,
        "before": _rates(one.before),
        "after": _rates(one.after),
        "eer_fall": one.fall,
    }


def _rates(one: evaluation.Evaluation) -> dict[str, Any]:
    return {"name": one.name, "eer": one.eer, "tar": msgspec.to_builtins(one.tar)}


def _table(found: list[DataSetOutcome]) -> Table:
    table = Table(title="EER with 95 % intervals over people")
    for title in ("data set", "before", "after", "lower by", "outcome"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in found:
        before = "-" if one.before is one.after else _range(one.before.eer)
        fall = "-" if one.fall is None else _range(one.fall)
        name = escape(one.data_set) or "-"
        table.add_row(name, before, _range(one.after.eer), fall, one.word)
    return table


def _range(rate: Rate) -> str:
    return f"{rate.value:.4f}  {rate.low:.4f} to {rate.high:.4f}"
