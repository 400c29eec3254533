"""`ostiary bundle check` and `ostiary bundle install`: test and replace a device's bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ostiary.edge.cli.console import err, new_app, out, print_json
from ostiary.edge.errors import BundleError
from ostiary.edge.models.install import install
from ostiary.edge.runtime import bundle as bundles
from ostiary.edge.runtime import golden
from ostiary.edge.runtime.bundle import Bundle
from ostiary.edge.runtime.golden import ProvenRunners
from ostiary.edge.runtime.signature import read_keys

Folder = Annotated[Path | None, typer.Option("--keys", help="Folder of trusted keys (*.pub).")]
Backend = Annotated[str, typer.Option("--backend", help="Backend: auto, openvino or onnxruntime.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    group = new_app(
        "Check or install a bundle: the signed models that a device runs.\n\n"
        "Example: `ostiary bundle check /var/lib/ostiary/bundle`"
    )
    group.command()(check)
    group.command("install")(install_command)
    app.add_typer(group, name="bundle")


def check(
    path: Annotated[Path, typer.Argument(help="Bundle directory to check.")],
    keys: Folder = None,
    backend: Backend = "auto",
    json: Json = False,
) -> None:
    """Check a bundle as the daemon does when it starts: signature, hashes, golden vectors.

    Exit code 0 if this device would run it, 2 with the reason if not.

    Example: `ostiary bundle check /var/lib/ostiary/bundle`
    """
    bundle = bundles.load(path, read_keys(keys))
    _show(bundle, _prove(bundle, backend), json)


def install_command(
    archive: Annotated[
        Path, typer.Argument(help="Packed bundle (.zip) or bundle directory to install.")
    ],
    target: Annotated[Path, typer.Argument(help="Bundle directory to replace.")],
    keys: Folder = None,
    backend: Backend = "auto",
    json: Json = False,
) -> None:
    """Check a packed bundle in full, then replace the device's bundle with it.

    If anything is wrong, the old bundle stays and the exit code is 2. A running daemon uses the
    new bundle after its next restart.

    Example: `ostiary bundle install hq-3.zip /var/lib/ostiary/bundle --keys /etc/ostiary/keys`
    """
    before = _replaced(target)
    proven: list[ProvenRunners] = []
    bundle = install(
        archive,
        target,
        read_keys(keys),
        prove=lambda staged: proven.append(_prove(staged, backend)),
    )
    _show(bundle, proven[0], json)
    if before is not None and before.encoder_id != bundle.encoder_id:
        err.print("[yellow]the new bundle has another encoder: enroll everybody again[/]")
    if before is not None and before.verifier and not bundle.verifier:
        err.print(
            "[yellow]the old bundle had a logistic head and the new one has none: a door whose"
            " profile says `verifier = true` will not start with it[/]"
        )


def _replaced(target: Path) -> Bundle | None:
    """The bundle that will be replaced; None if there is none that can be read."""
    try:
        return bundles.read(target)
    except BundleError:
        return None


def _prove(bundle: Bundle, backend: str) -> ProvenRunners:
    proven = golden.prove(bundle, backend, threads=1)
    for runner in proven.runners.values():
        runner.close()
    return proven


def _show(bundle: Bundle, proven: ProvenRunners, json: bool) -> None:
    models = {name: model.file for name, model in bundle.manifest.models.items().items()}
    if json:
        return print_json(
            {
                "path": str(bundle.path),
                "signer": bundle.signer,
                "recipe": bundle.manifest.recipe,
                "encoder_id": bundle.encoder_id,
                "models": models,
                "warnings": bundle.manifest.warnings,
                "backend": proven.backend,
                "refused": proven.refused,
            }
        )
    table = Table("", escape(str(bundle.path)), box=None, header_style="bold")
    table.add_row("signer", bundle.signer)
    table.add_row("recipe", escape(bundle.manifest.recipe))
    table.add_row("encoder", bundle.encoder_id)
    for name, file in models.items():
        table.add_row(name, escape(file))
    table.add_row("proven on", f"[green]{escape(proven.backend)}[/]")
    out.print(table)
    for warning in bundle.manifest.warnings:
        err.print(f"[yellow]warning:[/] {escape(warning)}")
    for reason in proven.refused:
        err.print(f"[yellow]not used:[/] {escape(reason)}")
