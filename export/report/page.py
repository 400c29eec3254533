"""The page that all reports share: its style, its parts, and the templates' filters."""

from __future__ import annotations

from importlib import resources

import jinja2
from markupsafe import Markup

from ostiary.edge.core.scores.metrics import Rate
from ostiary.export.report import charts


def template(package: str, name: str) -> jinja2.Template:
    """A template from the assets of `package`; it may extend and import those of `export`."""

    def asset(wanted: str) -> str | None:
        files = [resources.files(room) / "assets" / wanted for room in (package, "ostiary.export")]
        return next((file.read_text(encoding="utf-8") for file in files if file.is_file()), None)

    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["svg"] = Markup  # only for charts.py's output, which escapes names
    made.filters["power"] = charts.power
    made.filters["decimals"] = _decimals
    made.filters["between"] = _between
    return made.get_template(name)


def _decimals(value: float, digits: int = 4) -> str:
    # Adding 0.0 turns -0.0 into 0.0.
    return f"{round(value, digits) + 0.0:.{digits}f}"


def _between(rate: Rate, digits: int = 4) -> str:
    return f"{_decimals(rate.low, digits)} to {_decimals(rate.high, digits)}"
