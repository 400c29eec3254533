"""`ostiary check-config`: whether profiles are good, and what they cost."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.adapters.camera.sources import check_url
from ostiary.edge.adapters.claims import ClaimSource
from ostiary.edge.adapters.door.base import make_door
from ostiary.edge.cli.console import BAD_INPUT, err, out, print_json
from ostiary.edge.config import Config, load_config
from ostiary.edge.core.faces import tiling
from ostiary.edge.core.faces.tiling import Tiling
from ostiary.edge.core.scores.cost import Cost, cost
from ostiary.edge.errors import BundleError, OstiaryError
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.vision.liveness import read_pad_file


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("check-config")(check_config)


def check_config(
    files: Annotated[list[Path], typer.Argument(help="Profiles to check.")],
    k: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Number of templates to tell the cost of; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check profiles: every key and every range.

    A bundle that is there is read too, and its warnings are shown; they do not change the exit
    code. With --json a good profile is `ok`, followed by the warnings of its bundles.

    If the bundle is there, the least face that is found at the camera's size is told.

    For each K the cost is told as well: how many of the enrolled the profile's error rate refuses
    by the bundle's curves, and what refuses fewer. With --json these are in `cost`.

    Exit code 0 if all profiles are good, 2 if not.

    Example: `ostiary check-config door.toml --k 100 --k 10000`
    """
    problems: dict[str, str] = {}
    reaches: dict[str, str] = {}
    warnings: dict[str, list[str]] = {}
    costs: dict[str, list[Cost]] = {}
    for path in files:
        try:
            profile = load_config(path)
            _check(profile)
            tiles = _tiling(profile)
            warnings[str(path)] = [*_too_large(profile, tiles), *_warnings(profile)]
            reaches[str(path)] = _reach(profile, tiles)
            costs[str(path)] = costs_of(profile, k or [])
        except OstiaryError as error:
            text = str(error)
            problems[str(path)] = text if str(path) in text else f"{path}: {text}"
    if json:
        said = {name: "; warning: ".join(["ok", *found]) for name, found in warnings.items()}
        found = {str(path): (problems | said)[str(path)] for path in files}
        print_json({"profiles": found, "cost": costs} if k else found)
    else:
        for path in files:
            if str(path) in problems:
                err.print(f"[bold red]error:[/] {escape(problems[str(path)])}")
            else:
                out.print(f"[green]ok[/] {escape(str(path))}{escape(reaches[str(path)])}")
                for warning in warnings[str(path)]:
                    err.print(f"[yellow]warning:[/] {escape(warning)}")
                for one in costs[str(path)]:
                    out.print(f"   {escape(one.text())}")
    raise typer.Exit(BAD_INPUT if problems else 0)


def _check(config: Config) -> None:
    """Check the URLs of camera, door and claims by their adapters. Raises OstiaryError."""
    check_url(config.camera)
    make_door(config.door.action, config.door.timeout_s)
    if config.pad.file is not None:
        _check_pad(config.pad.file, config)
    if config.claims is not None:
        ClaimSource(config.claims.source)


def _check_pad(path: Path, config: Config) -> None:
    """Check the PAD file against the bundle, if that is on this machine. Raises BundleError."""
    try:
        bundle = bundles.read(config.bundle.path)
    except BundleError:
        return
    read_pad_file(path, bundle)


def costs_of(config: Config, sizes: list[int]) -> list[Cost]:
    """The cost of each number of templates of one photo, by the profile's bundle.

    Raises BundleError if there is no bundle with curves.
    """
    if not sizes:
        return []
    bundle = bundles.read(config.bundle.path)
    if config.bundle.precision == "float":
        bundle = bundle.in_float()
    wanted = config.recognition
    curves = bundle.det().curves_for(bundle.comparison, worst=wanted.tau == "worst-group")
    return [cost(curves, wanted.fpir, wanted.fmr, {1: size}) for size in sizes]


def _tiling(config: Config) -> Tiling | None:
    """The tiles of the camera's picture; None if the bundle is not on this machine."""
    camera = config.camera
    size = (camera.height, camera.width)
    size = size if camera.rotate % 180 == 0 else size[::-1]
    try:
        detector = bundles.read(config.bundle.path).model("detector")
    except BundleError:
        return None
    return tiling.plan(size, detector.size_px, camera.least_face_px)


def _reach(config: Config, made: Tiling | None) -> str:
    """The least face that is found, for a person; empty without the bundle."""
    if made is None:
        return ""
    least = max(made.least_eye_px, config.quality.min_eye_distance_px)
    picture = f"{config.camera.width}x{config.camera.height}"
    return f": faces from {least:.0f} px between the eyes at {picture}"


def _too_large(config: Config, made: Tiling | None) -> list[str]:
    """What to say if the picture is too large to find the faces that the profile asks for."""
    wanted = config.camera.least_face_px
    if made is None or made.least_eye_px <= wanted:
        return []
    return [
        f"faces of {wanted:g} px between the eyes are asked for, and found from"
        f" {made.least_eye_px:.0f} px: raise least_face_px to that"
    ]


def _warnings(config: Config) -> list[str]:
    """The warnings of the profile's bundles, as far as these are on this machine."""
    found = []
    for path in (config.bundle.path, config.bundle.next):
        # A profile is often checked on another machine than the door's, without its bundle.
        with contextlib.suppress(BundleError):
            if path is not None:
                found += [f"{path}: {text}" for text in bundles.read(path).manifest.warnings]
    return found
