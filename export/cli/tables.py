"""Measurements as tables on a terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, out
from ostiary.edge.core.scores.metrics import Rate
from ostiary.export.faces.crops import Crops
from ostiary.export.records.results import Gate, LayerCosts, OpenSetRow, TarRow

TITLES = {
    "float_float": "float / float",
    "int8_int8": "int8 / int8",
    "float_int8": "float template / int8 probe",
}


def show_gate(gate: Gate) -> None:
    """The verdict as tables."""
    out.print(
        f"{gate.images} images of {gate.people} people on {escape(gate.data_set)},"
        f" {gate.genuines:,} genuine and {gate.impostors:,} impostor pairs;"
        f" left out: {gate.calibration_left_out} photos that int8 was calibrated on,"
        f" {gate.learned_left_out} of people whom the encoder learned from"
    )
    table = Table(title=f"TAR, with 95 % intervals over people; int8 on {gate.backend}")
    for title in ("FMR", *TITLES.values()):
        table.add_column(title, justify="right", no_wrap=True)
    for rows in zip(*(item.tar for item in gate.compared), strict=True):
        table.add_row(f"{rows[0].fmr:.0e}", *(f"{r.tar.value:.4f}  {_range(r.tar)}" for r in rows))
    out.print(table)
    table = Table(title="TAR lost to int8")
    for title in ("FMR", "comparison", "loss", "95 %", "allowed", "tau moved by"):
        table.add_column(title, justify="right", no_wrap=True)
    taus = {(c.comparison, row.fmr): row.tau for c in gate.compared for row in c.tar}
    for item in gate.losses:
        moved = taus[item.comparison, item.fmr] - taus["float_float", item.fmr]
        table.add_row(
            f"{item.fmr:.0e}",
            TITLES[item.comparison],
            f"{item.loss.value:+.4f}",
            _range(item.loss),
            "-" if item.limit is None else f"{item.limit}",
            f"{moved:+.4f}",
        )
    out.print(table)
    out.print(
        f"cosine of int8 to float: median {gate.cosine.median:.4f}, 5 % {gate.cosine.p05:.4f},"
        f" 1 % {gate.cosine.p01:.4f}, least {gate.cosine.least:.4f}"
    )
    if gate.agreement is not None:
        out.print(
            f"cosine of OpenVINO to ONNX Runtime, both in int8: median {gate.agreement.median:.4f},"
            f" least {gate.agreement.least:.4f}; proven on {', '.join(gate.proven_on)}"
        )
    for compared in gate.compared:
        show_open_set(TITLES[compared.comparison], compared.open_set)
    if gate.passed:
        return out.print("[bold green]passed[/]")
    for failure in gate.failures:
        out.print(f"[bold red]failed:[/] {escape(failure)}")


def show_layers(layers: LayerCosts) -> None:
    """A table of every layer's cost, the costliest first."""
    table = Table(title=f"cost of each layer alone in int8, on {layers.images} images")
    for title in ("layer", "kind", "1 - cosine", f"TAR lost at {layers.fmr:.0e}", "in the bundle"):
        table.add_column(title, no_wrap=True)
    for cost in sorted(layers.costs, key=lambda item: -item.cosine):
        kind = "depthwise" if cost.depthwise else cost.operator
        kept = "float" if cost.node in layers.floats else "int8"
        table.add_row(cost.node, kind, f"{cost.cosine:.6f}", f"{cost.tar:+.4f}", kept)
    out.print(table)
    for node, reason in layers.floats.items():
        out.print(escape(f"{node} stays in float: {reason}"))


def show_all_pairs(crops: Crops, tar: list[TarRow]) -> None:
    """TAR over all pairs, and how many photos were left out and why."""
    out.print(f"{len(crops)} images of {crops.people} people")
    out.print(f"photos left out: {escape(_counts(crops.missing)) or 'none'}")
    out.print(f"photos a door would refuse for quality: {escape(_counts(crops.refused))}")
    table = Table(title="all pairs")
    for title in ("FMR", "tau", "TAR", "95 %"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in tar:
        table.add_row(f"{row.fmr:.0e}", f"{row.tau:.4f}", f"{row.tar.value:.4f}", _range(row.tar))
    out.print(table)


def show_open_set(title: str, rows: list[OpenSetRow]) -> None:
    """FPIR and FNIR for each K."""
    if not rows:
        return err.print("too few people for the open-set test")
    table = Table(title=f"open set, one photo per enrolled person: {title}")
    for name in ("K", "tau", "FPIR", "95 %", "FNIR", "95 %", "FPIR at 1:1 tau"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.k),
            f"{row.tau:.3f}",
            f"{row.fpir.value:.4f}",
            _range(row.fpir),
            f"{row.fnir.value:.4f}",
            _range(row.fnir),
            f"{row.fixed_fpir:.4f}",
        )
    out.print(table)


def _range(rate: Rate) -> str:
    return f"{rate.low:.4f} to {rate.high:.4f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda i: -i[1]))
