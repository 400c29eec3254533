"""Measurements as tables on a terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, out
from ostiary.edge.core.scores.metrics import Rate
from ostiary.export.faces.crops import Crops
from ostiary.export.faces.rates import GroupRow
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
        f" {gate.learned_left_out} of people whom the encoder learned from,"
        f" {gate.labels_left_out} with wrong labels"
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
    out.print(f"[bold]{headline(gate)}[/]")
    for failure in gate.failures:
        out.print(f"[bold red]failed:[/] {escape(failure)}")
    for weakness in gate.weak:
        out.print(f"[bold yellow]weak:[/] the encoder {escape(weakness)}")


def headline(gate: Gate) -> str:
    """The verdict in its colour: green if the gate passed, amber if only the float encoder is too
    weak, red if int8 is not faithful to float."""
    colour = "green" if gate.passed else "yellow" if gate.faithful else "red"
    return f"[{colour}]{escape(gate.headline)}[/]"


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
    labels = {"wrong label": crops.labels_left_out} if crops.labels_sha256 else {}
    out.print(f"photos left out: {escape(_counts(crops.missing | labels)) or 'none'}")
    out.print(f"photos a door would refuse for quality: {escape(_counts(crops.refused))}")
    show_tar("all pairs", tar)


def show_tar(title: str, tar: list[TarRow]) -> None:
    """The TAR at each FMR."""
    table = Table(title=title)
    for name in ("FMR", "tau", "TAR", "95 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in tar:
        table.add_row(f"{row.fmr:.0e}", f"{row.tau:.4f}", f"{row.tar.value:.4f}", _range(row.tar))
    out.print(table)


def show_groups(rows: list[GroupRow]) -> None:
    """FMR and FNMR of each group, at everybody's tau."""
    if not rows:
        return
    table = Table(title=f"all pairs of a group, at everybody's tau for an FMR of {rows[0].wanted}")
    for title in ("group", "people", "images", "FMR", "95 %", "FNMR", "95 %"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            escape(row.group or "everybody"),
            str(row.people),
            str(row.images),
            f"{row.fmr.value:.5f}",
            f"{row.fmr.low:.5f} to {row.fmr.high:.5f}",
            f"{row.fnmr.value:.4f}",
            _range(row.fnmr),
        )
    out.print(table)


def show_open_set(title: str, rows: list[OpenSetRow]) -> None:
    """FPIR and FNIR for each K; in groups if there are any."""
    if not rows:
        return err.print("too few people for the open-set test")
    grouped = any(row.gallery_of for row in rows)
    table = Table(title=f"open set: {escape(title)}")
    names = ["photos", "K", "FPIR asked", "tau", "FPIR", "FNIR"]
    for name in (["gallery of", "tau of"] if grouped else []) + names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        groups = [row.gallery_of or "everybody", row.tau_of or "everybody"] if grouped else []
        table.add_row(
            *map(escape, groups),
            f"{row.photos}{', visit' if row.visit else ''}",
            str(row.k),
            f"{row.wanted}",
            f"{row.tau:.3f}",
            f"{row.fpir.value:.4f} ({_range(row.fpir)})",
            f"{row.fnir.value:.4f} ({_range(row.fnir)})",
        )
    out.print(table)
    if not grouped:
        fixed = ", ".join(f"{row.fixed_fpir:.4f} at K = {row.k}" for row in rows)
        out.print(f"FPIR with the tau for an FMR of 1e-3, which ignores K: {fixed}")


def _range(rate: Rate) -> str:
    return f"{rate.low:.4f} to {rate.high:.4f}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda i: -i[1]))
