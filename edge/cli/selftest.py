"""`ostiary selftest`: tests this device and its door, and writes one report."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.errors import ConfigError
from ostiary.edge.files import to_json, write_atomically
from ostiary.edge.selftest.report import CheckVerdict, SelftestReport
from ostiary.edge.selftest.run import selftest as run_selftest

FAILED = 1
COLOURS = {
    CheckVerdict.OK: "green",
    CheckVerdict.WARN: "yellow",
    CheckVerdict.FAIL: "bold red",
    CheckVerdict.SKIPPED: "dim",
}


def register(app: typer.Typer) -> None:
    app.command()(selftest)


def selftest(
    config: Annotated[
        Path | None, typer.Option("--config", help="Profile of the door to test.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="Bundle directory to test alone, without a profile."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Report file. Default: ./selftest-DEVICE-DATE.json"),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=600, help="Seconds to read the camera.")
    ] = 5.0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Test everything that a door depends on; print and save one report. Takes some 20 seconds.

    Tested are board, versions, power, clock, bundle, engines, golden vectors on every backend,
    latencies, camera, disk, state, roster keys, broker and service. Exit code 0 if nothing failed,
    1 if something failed, 2 for bad input.

    The report holds no picture, template, subject, password or address, so you can send it to us.
    Run it as root with the service stopped: then it can open the camera and read the credentials.

    Example: `ostiary selftest --config /etc/ostiary/door.toml`
    """
    if (config is None) == (bundle is None):
        raise ConfigError("give either a profile or a bundle", "--config FILE or --bundle DIR")
    folder = (save or Path()).parent if save is not None else Path()
    if not os.access(folder, os.W_OK) or (save is not None and save.is_dir()):
        raise ConfigError(f"cannot write the report to {save or folder.absolute()}", "--save FILE")
    report = run_selftest(config, bundle, seconds, _begun)
    path = save or folder / _file_name(report)
    # Write the file before printing: if the report cannot be written, only the error is printed.
    write_atomically(path, to_json(report))
    if json:
        print_json(report)
    else:
        _show(report)
    err.print(escape(f"saved to {path}"))
    raise typer.Exit(FAILED if report.verdict is CheckVerdict.FAIL else 0)


def _begun(name: str) -> None:
    err.print(f"[dim]{escape(name)} ...[/]")


def _file_name(report: SelftestReport) -> str:
    date = time.strftime("%Y%m%dT%H%M%SZ", time.strptime(report.at[:19], "%Y-%m-%dT%H:%M:%S"))
    return f"selftest-{report.device or 'bundle'}-{date}.json"


def _show(report: SelftestReport) -> None:
    table = Table("check", "", "finding", title=f"ostiary {report.ostiary}, {report.at}")
    for check in report.checks:
        colour = COLOURS[check.verdict]
        finding = escape(check.finding)
        if check.hint:
            finding += f"\n[dim]{escape(check.hint)}[/]"
        table.add_row(escape(check.name), f"[{colour}]{check.verdict.value}[/]", finding)
    out.print(table, soft_wrap=False)
    out.print(f"[{COLOURS[report.verdict]}]{report.verdict.value}[/]")
