"""`ostiary-export engine`: the TensorRT engines of a bundle, on the device that will run them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, out, print_json
from ostiary.edge.config import load_config
from ostiary.edge.errors import ConfigError, OstiaryError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import engines
from ostiary.edge.runtime.backends import CPU
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.engines import Header
from ostiary.edge.runtime.signature import read_keys
from ostiary.export.engine import target as boards
from ostiary.export.engine.make import EngineOptions, Made, make, needed
from ostiary.export.engine.order import RTX, TENSORRT, BuildStep, PlaceQuery
from ostiary.export.engine.workshop import Apart

FAILED, NOT_NEEDED = 1, 3
MOST_OF_MEMORY = 0.55
CLEAR = "\r\x1b[K"


def register(app: typer.Typer) -> None:
    app.command()(engine)


@dataclass(frozen=True)
class _Site:
    bundle: Bundle
    folder: Path
    backend: str


def engine(
    bundle: Annotated[
        Path | None, typer.Argument(help="Signed bundle directory; the profile's by default.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Device profile to take the bundle, keys and state folder from."),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to keep the engines in; the profile's by default."),
    ] = None,
    keys: Annotated[Path | None, typer.Option(help="Folder of trusted .pub key files.")] = None,
    target: Annotated[
        str,
        typer.Option(help="Board to build for, e.g. jetson-orin-nano; must be this machine."),
    ] = "",
    rtx: Annotated[
        str,
        typer.Option(
            help="Rehearse without a GPU: build with TensorRT for RTX for this GPU, e.g. sm86."
        ),
    ] = "",
    memory_mb: Annotated[
        int | None,
        typer.Option(min=64, help="Memory limit of the building process; 55 % by default."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Rebuild every engine, also one that failed before.")
    ] = False,
    only_needed: Annotated[
        bool,
        typer.Option(
            "--needed", help="Build nothing; exit code 0 if an engine must be built, 3 if none."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Build a bundle's TensorRT engines on this device and check each by its golden vectors.

    The int8 encoder is built in int8, every other model in fp16. If the int8 engine cannot be built
    or fails its check, the door uses the fp16 one; a model without any engine runs on the CPU.
    Engines that are up to date are kept. A build takes minutes on a Jetson.

    Exit code 0: every model has an engine, 1: some have none, 2: bad input.

    Examples:

    `ostiary-export engine --config /etc/ostiary/door.toml`

    `ostiary-export engine bundle --out engines --rtx sm86`, on a machine without a GPU
    """
    site = _site(bundle, config, out_dir, keys)
    workshop = Apart()
    probe = PlaceQuery(RTX if rtx else TENSORRT, rtx or None)
    if only_needed:
        return _say_needed(site, workshop, probe, json)
    if target:
        _check_target(workshop, probe, target)
    options = EngineOptions(probe.library, probe.compute, memory_mb or _most_memory_mb(), again)
    made = make(site.bundle, site.folder, workshop, options, _Progress())
    if json:
        print_json(_document(made, site.folder))
    else:
        _show(made, site.folder)
    if "failed" in made.did.values():
        err.print("a model that failed for good is tried again only with --again")
        raise typer.Exit(FAILED)
    return None


def _site(
    bundle: Path | None, config: Path | None, folder: Path | None, keys: Path | None
) -> _Site:
    if config is not None:
        profile = load_config(config)
        path, keys = bundle or profile.bundle.path, keys or profile.bundle.keys
        folder = folder or profile.state.path / engines.FOLDER
        backend: str = profile.bundle.backend
    elif bundle is None or folder is None:
        raise ConfigError(
            "the bundle or the output folder is missing",
            "give BUNDLE --out DIR, or --config FILE",
        )
    else:
        path, backend = bundle, TENSORRT
    return _Site(bundles.load(path, read_keys(keys)), folder, backend)


def _check_target(workshop: Apart, probe: PlaceQuery, target: str) -> None:
    sm, device = "none", "none"
    try:
        here = workshop.probe(probe)
        sm, device = here.place.sm, here.place.device
    except OstiaryError:
        pass  # A machine without a GPU and TensorRT cannot be the board.
    boards.check(target, sm, device)


def _say_needed(site: _Site, workshop: Apart, probe: PlaceQuery, json: bool) -> None:
    """Print which engines must be built; a systemd unit reads the exit code and builds them."""
    found: list[str] = []
    why = f"the profile's backend is {site.backend}"
    if site.backend not in CPU:
        try:
            found = needed(site.bundle, site.folder, workshop.probe(probe))
            why = "every engine is up to date, or its build failed before"
        except OstiaryError as error:
            why = error.message
            # If the profile names TensorRT, the build must fail visibly and not be skipped.
            found = ["all"] if site.backend == TENSORRT else []
    if json:
        print_json({"needed": found, "why": why if not found else ""})
    else:
        wanted = f"to be built: {', '.join(found)}" if found else f"nothing to build: {why}"
        out.print(escape(wanted))
    if not found:
        raise typer.Exit(NOT_NEEDED)


def _most_memory_mb() -> int:
    """The share of all memory for the process; the GPU's memory adds to it in the unit's limit."""
    total_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return int(total_kb / 1024 * MOST_OF_MEMORY)


class _Progress:
    """Prints one line per stage; on a terminal also TensorRT's phases within a stage."""

    def __call__(self, text: str, step: BuildStep | None) -> None:
        if step is None:
            err.print(f"{CLEAR if err.is_terminal else ''}{escape(text)}")
        elif err.is_terminal and step.total:
            err.print(f"{CLEAR}  {escape(step.phase)} {step.done}/{step.total}", end="")


def _document(made: Made, folder: Path) -> dict[str, object]:
    return {
        "place": made.here.place,
        "lacks": made.here.lacks,
        "folder": str(folder),
        "models": [
            {
                "model": entry.model,
                "did": made.did[entry.model],
                "file": entry.file,
                "precision": entry.precision,
                "header": _header(folder, entry.file),
                "failed": [failure.reason for failure in entry.failed.values()],
            }
            for entry in made.report.entries
        ],
    }


def _header(folder: Path, file: str | None) -> Header | None:
    return engines.read(folder / file).header if file else None


def _show(made: Made, folder: Path) -> None:
    place = made.here.place
    out.print(escape(f"{place.tensorrt} on {place.device}, {place.sm}, CUDA {place.driver}"))
    if made.here.lacks:
        out.print(f"[yellow]{escape(made.here.lacks)}[/]")
    table = Table("model", "result", "precision", "golden error", "layers", "build", box=None)
    for entry in made.report.entries:
        header = _header(folder, entry.file)
        table.add_row(entry.model, made.did[entry.model], *_cells(header))
    out.print(table)
    for entry in made.report.entries:
        for failure in entry.failed.values():
            out.print(f"[yellow]{entry.model}[/] {escape(failure.reason)}")
    if not made.here.runs:
        out.print("[yellow]built without a GPU: never run here, and no device will use them[/]")


def _cells(header: Header | None) -> list[str]:
    if header is None:
        return ["-"] * 4
    proof, layers = header.proof, header.layers
    off = f"{proof.worst:.2g} of {proof.tolerance:.2g}" if proof else "not run"
    kinds = sorted(layers.counts.items()) if layers else []
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds) or "not known"
    return [header.fingerprint.precision, off, counts, f"{header.build_s:.1f} s"]
