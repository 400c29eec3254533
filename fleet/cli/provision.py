"""`ostiary-fleet provision` and `unprovision`: add a device to the fleet, or remove it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ostiary.edge.cli.console import out, print_json
from ostiary.fleet.cli.common import Device, Folder, Json, open_fleet
from ostiary.fleet.errors import FleetError
from ostiary.fleet.registry.person import check_subject


def register(app: typer.Typer) -> None:
    for command in (provision, unprovision):
        app.command()(command)


def provision(
    device: Device,
    board: Annotated[
        str | None,
        typer.Option("--board", help="The board: a folder of firmware_configs, e.g. x86-cpu."),
    ] = None,
    profile: Annotated[
        Path | None, typer.Option("--profile", help="Your own profile, instead of a board's.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", help="The folder to make. Default: ./DEVICE.")
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group", help="A group that the door opens for; may be repeated. Default: everybody."
        ),
    ] = None,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Make a folder to copy to a device: profile, keys, certificate and a README with the steps.

    If the fleet has its own certificate authority (`init --ca`), the folder has the device's
    certificate; otherwise it has a request that the broker's authority must sign.

    Example: `ostiary-fleet provision north-door --board x86-cpu --group staff`
    """
    from ostiary.fleet.site import profile as profiles
    from ostiary.fleet.site.provision import provision as make

    check_subject(device)
    if (board is None) == (profile is None):
        known = ", ".join(profiles.boards())
        raise FleetError("give a --board or a --profile", f"boards: {known}")
    if profile is not None:
        try:
            text = profile.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FleetError(f"cannot read {profile}: {error}") from error
    else:
        text = profiles.board_profile(board or "")
    with open_fleet(fleet) as home:
        done = make(home, device, text, folder or Path(device), tuple(group or ()))
    if json:
        return print_json({"device": device, "folder": str(done.folder), "to_do": done.to_do})
    out.print(escape(f"made {done.folder} for {device}; its README.md has the commands"))
    for step in done.to_do:
        out.print(escape(f"still to do: {step}"))


def unprovision(
    device: Device,
    unlisted: Annotated[
        bool, typer.Option("--unlisted", help="Allow a device that was never provisioned here.")
    ] = False,
    fleet: Folder = None,
    json: Json = False,
) -> None:
    """Take a device out of the fleet: erasures and `status` no longer wait for it.

    The device still has its keys. If it was stolen, revoke its certificate at the broker:
    firmware_configs/README.md has the commands, and certs/devices has every certificate that the
    device was given.

    Example: `ostiary-fleet unprovision north-door`
    """
    with open_fleet(fleet) as home:
        if check_subject(device) not in home.registry().devices.provisioned() and not unlisted:
            raise FleetError(
                f"{device} is not a device of this fleet",
                "if it was installed by hand and an erasure still waits for it: --unlisted",
            )
        home.registry().remove_device(device)
    if json:
        return print_json({"device": device, "removed": True})
    out.print(f"{device} is no longer a device of this fleet")
